"""What create_extension describes, built: command lines, object files, the module, wheels."""
