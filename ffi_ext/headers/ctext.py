"""C text: comments, identifiers, parameters. Knows no compiler and no cffi model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ffi_ext.names import python_name

_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\r?\n|\\.)*", re.M)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_TOKENS = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|/\*.*?\*/|//[^\n]*', re.S)
_ATTRIBUTE = re.compile(
    r"\b(?:__attribute__|__attribute|__asm__|__asm|asm|__declspec|_Alignas|alignas|_Static_assert|static_assert)"
    r"\s*\(|\[(?=\[)"
)
_BRACKET = re.compile(r"[][(){}]")
_QUALIFIERS = re.compile(r"\b(?:const|volatile|register|extern|static|_Thread_local|_Atomic)\b")
# The last of a type that has several words.
_LAST_OF_TYPES = ("char", "short", "int", "long", "double", "signed", "unsigned", "_Complex")


def _blank(match: re.Match[str]) -> str:
    """As many blanks; the lines stay."""
    return re.sub(r"[^\n]", " ", match[0])


def blank_comments(text: str) -> str:
    """Comments become blanks, the lines stay."""
    return _TOKENS.sub(lambda match: match[0] if match[0][0] in "\"'" else _blank(match), text)


def blank_quoted(text: str) -> str:
    """What is in quotes becomes blanks, so that a bracket there is none; for text without comments."""
    if '"' not in text and "'" not in text:
        return text
    return _TOKENS.sub(lambda match: match[0][0] + _blank(match)[2:] + match[0][-1], text)


def code_alone(text: str) -> str:
    """C text without comments, directives and what is in quotes: blanks are in their places."""
    return _DIRECTIVE.sub(_blank, _TOKENS.sub(_blank, text))


def identifiers(text: str) -> list[str]:
    """Every identifier in a declaration."""
    return IDENTIFIER.findall(text)


def cut(text: str, mark: str = ",") -> list[str]:
    """Cut at the commas, or at another mark, that stand in no brackets."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == mark and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def closing(text: str, start: int) -> int:
    """Where the bracket before `start` is closed; the end of the text if nowhere."""
    depth = 1
    for match in _BRACKET.finditer(text, start):
        depth += 1 if match[0] in "([{" else -1
        if not depth:
            return match.start()
    return len(text)


def without_attributes(text: str) -> str:
    """Removes `__attribute__((...))` and its kin, C23's [[...]], and static asserts, up to the closing bracket."""
    plain = blank_quoted(text)
    while match := _ATTRIBUTE.search(plain):
        end = closing(plain, match.end()) + 1
        text, plain = (t[: match.start()] + " " + t[end:] for t in (text, plain))
    return text


# int (*f(char c))(int): what f returns, a pointer to a function or an array, stands around it.
RESULT_AROUND = re.compile(r"\(\s*\*[\s*]*([A-Za-z_]\w*)\s*(?=\()")


def parameters_of(declaration: str) -> list[str]:
    """The parameters of a function declaration, as text; none for (void) and ()."""
    open_at = declaration.index("(")
    around = RESULT_AROUND.match(declaration, open_at)
    start = (around.end() if around else open_at) + 1
    pieces = (piece.strip() for piece in cut(declaration[start : closing(declaration, start)]))
    return [piece for piece in pieces if piece not in ("", "void", "...")]


def parameter_name(text: str) -> str | None:
    """The name in a parameter declaration, if it has one."""
    text = _QUALIFIERS.sub(" ", text)
    before = text.partition("(")[0]
    if before != text and (function := parameter_name(before)):
        return function  # int compare(const void *a, const void *b)
    if pointer := re.search(r"\(\s*\*[\s*(]*(\w*)", text):
        return pointer[1] or None
    words = identifiers(re.sub(r"\[[^]]*\]", "", text))
    if words and words[0] in ("struct", "union", "enum"):
        words = words[1:]
    return words[-1] if len(words) > 1 and words[-1] not in _LAST_OF_TYPES else None


def parameter_names(texts: Sequence[str], count: int) -> list[str]:
    """Names as Python shows them: arg<i> where there is none, keywords with an underscore."""
    names: list[str] = []
    for index, text in enumerate(texts[:count]):
        name = parameter_name(text)
        name = python_name(name) if name else f"arg{index}"
        while name in names:
            name += "_"
        names.append(name)
    return names


def comment_before(original: list[str], first: int) -> list[str]:
    """The lines of the comment above line `first`, else of the one that begins it, as written."""
    above = _comment_above(original, first)
    if above or not 0 < first <= len(original):
        return above
    begins = re.match(r"(.*?\*/)\s*\w", original[first - 1])
    return _block(original, first, begins[1]) if begins else []


# What may stand between a comment and its function: nothing, #ifdef __cplusplus, #include, extern "C", and a macro
# such as EXPORT, which the preprocessor has left nothing of.
_BETWEEN = re.compile(
    r'\s*(?:#\s*(?:if|endif|pragma|include).*|extern\s*"C"\s*\{?\s*|[A-Za-z_]\w*\s*)?$'
)


def _comment_above(original: list[str], first: int) -> list[str]:
    """The lines of the comment directly above line `first`; from the next with @param on, if only comments follow."""
    nearest: list[str] | None = None
    lines: list[str] = []
    while (last := _last_above(original, first)) and (more := _ending(original, last)):
        is_apart = last < first - 1
        lines = [*more, "", *lines] if is_apart else [*more, *lines]
        if has_param(more):
            return lines
        if nearest is None:
            nearest = [] if is_apart else more
        first = last - len(more) + 1
    return nearest or []


def _last_above(original: list[str], number: int) -> int:
    """The line above that says something of its own; 0 if there is none."""
    number = min(number - 1, len(original))
    while number > 0 and _BETWEEN.match(original[number - 1]):
        number -= 1
    return number


def _ending(original: list[str], last: int) -> list[str]:
    """The lines of the comment that ends on line `last`."""
    if original[last - 1].strip().endswith("*/"):
        return _block(original, last, original[last - 1])
    first = last
    while first > 0 and original[first - 1].strip().startswith("//"):
        first -= 1
    return original[first:last]


def has_param(lines: list[str]) -> bool:
    return re.search(r"[@\\]param", "\n".join(lines)) is not None


def _block(original: list[str], number: int, last: str) -> list[str]:
    """The lines of the /* comment */ that ends on line `number`, with `last` of that; none if code stands beside it."""
    lines = [last]
    while "/*" not in lines[0] and number > 1:
        number -= 1
        lines.insert(0, original[number - 1])
    return lines if _is_comment(lines) else []


def _is_comment(lines: list[str]) -> bool:
    return not re.sub(r"/\*.*?\*/", "", "\n".join(lines), flags=re.S).strip()


def comment_of(original: list[str], first: int, last: int) -> str:
    """The comment before line `first`, else the one behind the ; of line `last`."""
    lines = comment_before(original, first)
    if not lines and 0 < last <= len(original):
        lines = comment_behind(original, last)
    return _undecorated(lines)


def comment_behind(original: list[str], last: int) -> list[str]:
    """The lines of the comment that begins behind the ; of line `last`; none if code stands behind it."""
    begins = re.search(r";\s*(//.*|/\*.*)$", original[last - 1])
    lines = [begins[1]] if begins else []
    while lines and lines[0].startswith("/*") and "*/" not in lines[-1] and last < len(original):
        lines.append(original[last])
        last += 1
    return lines if begins and (begins[1].startswith("//") or _is_comment(lines)) else []


def _undecorated(lines: list[str]) -> str:
    rows = (re.sub(r"\s*\*+/$", "", line.strip()) for line in lines)
    return "\n".join(re.sub(r"^(?:/\*+!?<?|//+!?<?|\*(?!\w))\s?", "", row) for row in rows).strip()
