"""`python -m ffi_ext` is `ffi-ext`."""

import sys

from ffi_ext.cli import main

if __name__ == "__main__":
    sys.exit(main())
