"""Exits with 0 if the torch that is installed will do: the version named, or any from 2.4 on."""

from __future__ import annotations

import sys


def main() -> int:
    try:
        import torch
    except ImportError:
        return 1
    version = torch.__version__.split("+")[0]
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    if wanted:
        return int(version != wanted)
    return int(tuple(int(part) for part in version.split(".")[:2]) < (2, 4))


if __name__ == "__main__":
    sys.exit(main())
