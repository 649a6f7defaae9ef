"""The command line, `ffi-ext`: one module a command, imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import warnings

from ffi_ext.cli.terminal import PROBLEMS, USAGE, complain, warn
from ffi_ext.errors import BuildError

# Name -> module and help. A module has `add(parser)` and `main(options) -> exit code`, and says in its
# first line what the command does. No module imports torch before its main() runs.
COMMANDS = {
    "build": ("build", "build an extension: a build script, or headers and sources"),
    "run": ("run", "run an unmodified script or command with torch.utils.ffi in place"),
    "doctor": ("doctor", "what this machine has, what a repository needs, how to repair it"),
    "port": (
        "port",
        "turn code for torch.utils.ffi and old autograd into today's, as a diff first",
    ),
    "init": ("init", "start a project: header, source, test, pyproject"),
    "inspect": ("inspect", "what a built module has and what it was built from"),
    "stubs": ("stubs", "write the typed stub of headers"),
    "clean": ("clean", "remove what was built, or the cache"),
    "enable": ("enable", "bring torch.utils.ffi back for this Python environment"),
    "disable": ("enable", "take torch.utils.ffi away again"),
    "completion": ("completion", "tab completion for bash, zsh or fish"),
}
EPILOG = """\
exit codes: 0 it went well; 1 it did not, or problems were found; 2 wrong use.
`run` gives the command's own. `ffi-ext COMMAND --help` has examples. The
documentation lies in docs/ of the project.
"""


def _parser() -> argparse.ArgumentParser:
    """Knows the commands, and no command's options."""
    from ffi_ext import __version__

    top = argparse.ArgumentParser(
        prog="ffi-ext",
        description="C and CUDA functions on torch tensors, and torch.utils.ffi for today's PyTorch.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"ffi-ext {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    return top


def parser_of(command: str) -> argparse.ArgumentParser:
    module, text = COMMANDS[command]
    one = argparse.ArgumentParser(
        prog=f"ffi-ext {command}",
        description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    importlib.import_module(f"ffi_ext.cli.{module}").add(one)
    return one


def _options(command: str, words: list[str]) -> argparse.Namespace:
    """A command's options, which may stand among its files, as gcc's: `build a.h -I include libb.a`."""
    one = parser_of(command)
    parse = one.parse_args if command == "run" else one.parse_intermixed_args
    return parse(words, argparse.Namespace(command=command))


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. Returns its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may have any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    if not words:
        _parser().print_help(sys.stderr)
        return USAGE
    if words[0] not in COMMANDS:
        options = _parser().parse_args(words)
    elif words[0] == "run" and words[1:2] not in (["-h"], ["--help"]):
        # Options before a script are Python's, such as -m; argparse would take them for its own.
        options = argparse.Namespace(command="run", words=words[1:])
    else:
        options = _options(words[0], words[1:])
    command = importlib.import_module(f"ffi_ext.cli.{COMMANDS[options.command][0]}")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = warn
            code: int = command.main(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # `ffi-ext ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PROBLEMS
    except (BuildError, Warning) as error:  # of -W error
        return complain(f"{options.command}: {error}", PROBLEMS)
    except OSError as error:  # a name that is too long, a folder that may not be read, a full disk
        said = f"{error.filename or 'the output'}: {error.strerror}" if error.strerror else error
        return complain(f"{options.command}: {said}", PROBLEMS)
    except KeyboardInterrupt:
        print("ffi-ext: interrupted", file=sys.stderr)
        return 130
