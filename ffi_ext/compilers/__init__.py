"""The compilers of this machine: which there are, how they are run, and what their errors mean."""
