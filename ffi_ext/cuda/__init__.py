"""The CUDA toolkit of this machine."""
