"""Text made from declarations: the C source, the Python module, the stub. Knows no compiler."""
