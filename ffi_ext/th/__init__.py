"""What torch does for TH's and THC's functions."""
