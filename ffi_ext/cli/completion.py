"""`ffi-ext completion`: tab completion, written from the parsers themselves."""

from __future__ import annotations

import argparse

from ffi_ext.cli.terminal import OK

EXAMPLES = """\
examples:
  eval "$(ffi-ext completion bash)"    in ~/.bashrc
  eval "$(ffi-ext completion zsh)"     in ~/.zshrc, after compinit
  ffi-ext completion fish > ~/.config/fish/completions/ffi-ext.fish
"""

_BASH = """\
_ffi_ext() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words="{commands}"
  if (( COMP_CWORD > 1 )); then
    case "${{COMP_WORDS[1]}}" in
{cases}
      *) words="" ;;
    esac
    if [[ "$word" != -* && -z "$fixed" ]]; then
      COMPREPLY=()  # files, by -o default
      return
    fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _ffi_ext ffi-ext
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


def _commands() -> dict[str, tuple[str, list[tuple[str, str]], list[str]]]:
    """Name -> help, its options with their help, and the words that its arguments may be."""
    from ffi_ext.cli import COMMANDS, parser_of

    table = {}
    for name, (_, text) in COMMANDS.items():
        actions = [a for a in parser_of(name)._actions if a.help != argparse.SUPPRESS]
        options = [(word, a.help or "") for a in actions for word in a.option_strings]
        words = [str(c) for a in actions if not a.option_strings for c in a.choices or ()]
        table[name] = (text, options, words)
    return table


def bash() -> str:
    """A completion function; zsh takes it, too, through bashcompinit."""
    table = _commands()
    cases = []
    for name, (_, options, words) in table.items():
        listed = " ".join([word for word, _ in options] + words)
        fixed = "fixed=1 " if words else "fixed= "
        cases.append(f'      {name}) local {fixed}; words="{listed}" ;;')
    return _BASH.format(commands=" ".join(table), cases="\n".join(cases))


def fish() -> str:
    """One line an option."""

    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    lines = []
    for name, (text, options, words) in _commands().items():
        first = "__fish_use_subcommand"
        lines.append(f"complete -c ffi-ext -n {first} -f -a {name} -d {quoted(text)}")
        seen = f"'__fish_seen_subcommand_from {name}'"
        for word, description in options:
            kind = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
            lines.append(f"complete -c ffi-ext -n {seen} {kind} -d {quoted(description)}")
        for word in words:
            lines.append(f"complete -c ffi-ext -n {seen} -f -a {word}")
    return "\n".join(lines) + "\n"


def main(options: argparse.Namespace) -> int:
    if options.shell == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(fish() if options.shell == "fish" else bash(), end="")
    return OK
