"""The Python half of a call."""
