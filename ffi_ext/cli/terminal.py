"""What the commands print: complaints, and colours where a person looks at them."""

from __future__ import annotations

import os
import sys
from typing import TextIO

RED, GREEN, YELLOW, CYAN, BOLD = "31", "32", "33", "36", "1"

# Exit codes: it went well; it failed, or found what it looks for; wrong use.
OK, PROBLEMS, USAGE = 0, 1, 2


def has_colours(stream: TextIO | None) -> bool:
    """Only on a terminal that can, unless $NO_COLOR says no (https://no-color.org)."""
    if stream is None:  # it was closed before Python started
        return False
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text as the stream (stdout by default) is to show it."""
    return f"\033[{colour}m{text}\033[0m" if has_colours(stream or sys.stdout) else text


def complain(text: str, code: int = USAGE) -> int:
    """Says on stderr what is wrong. Returns the exit code, that of wrong use by default."""
    print(f"{coloured('ffi-ext:', RED, sys.stderr)} {text}", file=sys.stderr)
    return code


def warn(message: object, *_: object, **__: object) -> None:
    """For warnings.showwarning, which shows a line of ffi_ext's to who has called a command."""
    print(f"{coloured('ffi-ext:', YELLOW, sys.stderr)} {message}", file=sys.stderr)


def print_diff(lines: list[str], encoding: str) -> None:
    """A unified diff: for a person with colours, for a program in the file's own bytes, as a patch must have them.

    Lines without a line break at their end are said to have none.
    """
    colours = {"+": GREEN, "-": RED, "@": CYAN}
    if sys.stdout is None:  # it was closed before Python started
        return
    sys.stdout.flush()
    for number, line in enumerate(lines):
        text = line.removesuffix("\n")
        end = "\n" if line.endswith("\n") else "\n\\ No newline at end of file\n"
        if not sys.stdout.isatty():
            data = os.fsencode(text) if number < 2 else text.encode(encoding)
            sys.stdout.buffer.write(data + end.encode())
            continue
        text = text.removesuffix("\r")
        colour = BOLD if number < 2 else colours.get(line[0])
        print(coloured(text, colour) if colour else text, end=end)
