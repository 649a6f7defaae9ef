"""`x.cuda(async=True)`: a name until Python 3.7 made it a keyword. torch calls that argument non_blocking since 0.4."""

from __future__ import annotations

import io
import os
import sys
import tokenize
from types import CodeType, ModuleType


def renamed(text: str) -> tuple[str, int]:
    """A text that does not compile, with `async` renamed where it is no keyword; and how often it was."""
    lines = list(io.StringIO(text))
    try:
        tokens = list(tokenize.generate_tokens(iter(lines).__next__))
    except (SyntaxError, tokenize.TokenError):
        return text, 0
    # from the end on: what stands before stays where it is
    names = [
        name.start
        for name, following in zip(tokens, tokens[1:], strict=False)
        if name.string == "async" and following.string not in ("def", "for", "with")
    ][::-1]
    for line, column in names:
        before, after = lines[line - 1][:column], lines[line - 1][column + len("async") :]
        lines[line - 1] = f"{before}non_blocking{after}"
    return "".join(lines), len(names)


def _renamed_in(path: str) -> tuple[str, int]:
    try:
        with tokenize.open(path) as file:
            return renamed(file.read())
    except (SyntaxError, UnicodeDecodeError):  # not in the encoding that it names
        return "", 0


def code(path: str) -> CodeType | None:
    """The code of a script that Python 3.6 takes and this Python does not; None if `async` is not why.

    Raises:
        SyntaxError: Something else is wrong, too.
    """
    text, count = _renamed_in(path)
    if not count:
        return None
    compiled: CodeType = compile(text, path, "exec", dont_inherit=True)
    print(f"ffi_ext: async is non_blocking in {path}: a keyword since Python 3.7", file=sys.stderr)
    return compiled


def start_again(path: str) -> None:
    """Runs the script that this Python was started with, and does not return; it does where `async` is not at fault."""
    options = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv)]
    script = os.path.abspath(sys.argv[0])
    if [*options, *sys.argv] != sys.orig_argv or os.path.abspath(path) != script:
        return  # -c, -m
    if not _renamed_in(path)[1]:
        return
    words = "from ffi_ext.legacy import async_names; async_names.run()"
    os.execv(sys.executable, [sys.executable, *options[1:], "-c", words, *sys.argv])


def run() -> None:
    """Runs the script that the arguments begin with, as if Python had been started with it."""
    path = os.path.abspath(sys.argv[1])  # as __file__ is, wherever the script goes
    del sys.argv[0]
    compiled = code(path)
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = path
    if compiled:
        exec(compiled, main.__dict__)
