"""The functions that C text defines, for `load_inline`, whose text needs no header."""

from __future__ import annotations

import re

from ffi_ext.headers import ctext

_CONDITION = re.compile(r"^[ \t]*#[ \t]*if", re.M)
_NOEXCEPT = re.compile(r"\s*\bnoexcept\b(?:\s*\([^()]*\))?")
_RESULT_BEHIND = re.compile(r"\bauto\b(.*\))\s*->\s*(.*\S)")  # auto f(int x) -> int
# <complex.h> is for the source alone: the prototypes are read without it.
_COMPLEX = re.compile(r"\b(float|double)\s+complex\b|\bcomplex\s+(float|double)\b")


def has_conditions(source: str) -> bool:
    """Whether parts of C text may be left out by the preprocessor."""
    return _CONDITION.search(ctext.blank_comments(source)) is not None


def asking_for_rows(source: str) -> str:
    """The directives of C text, and for each other row a word that is left if the preprocessor leaves that row.

    So macros need not be known, and prototypes keep their words.
    """
    texts = (ctext.code_alone(source), ctext.blank_comments(source))
    rows = zip(*(text.split("\n") for text in texts), strict=True)
    return "\n".join(
        f"ffi_ext_row_{index}" if code.strip() else row for index, (code, row) in enumerate(rows)
    )


def exported(source: str, cxx: bool = False, answer: str | None = None) -> str:
    """The prototypes of the functions that C text defines at its top level and that are neither static nor inline.

    Each has the comment before it, or at a prototype above it, whichever says what the arguments must be. Of C++,
    those that are extern "C", there or here.

    Args:
        answer: The preprocessor's to `asking_for_rows`, where that is needed.

    Raises:
        ValueError: There is none.
    """
    text = ctext.code_alone(source)
    if answer is not None:
        left = {int(index) for index in re.findall(r"\bffi_ext_row_(\d+)\b", answer)}
        lines = enumerate(text.split("\n"))
        text = "\n".join(line if index in left else "" for index, line in lines)
    rows = source.split("\n")
    prototypes, start, depth, linkage = [], 0, 0, False
    declared: dict[str, list[str]] = {}  # the comments of prototypes
    statics: set[str] = set()  # prototypes, too
    for match in re.finditer(r"[{};]", text):
        mark = match.group()
        piece = text[start : match.start()]
        head = "" if depth else _head(piece)
        called = re.search(r"(\w+)\s*\(", head) if head.endswith(")") else None
        if name := called[1] if called else "":
            begins = start + len(piece) - len(piece.lstrip())
            line = text.count("\n", 0, begins) + 1
            comment = ctext.comment_before(rows, line)
            in_c = not cxx or linkage or (head.startswith("extern ") and '"C"' in rows[line - 1])
        if mark == "{" and depth == 0 and head == "extern":  # extern "C" {
            linkage = True
        elif mark == "{":
            others_see = name not in statics and not _is_hidden(head, cxx)
            if name and others_see and (in_c or name in declared):
                above = declared.get(name, [])
                prototypes += comment if _tells(comment) >= _tells(above) else above
                prototypes += [re.sub(r"\b(__inline__|__inline|inline|extern)\s+", "", head) + ";"]
            depth += 1
        elif mark == "}":
            linkage = linkage and depth > 0
            depth = max(depth - 1, 0)
        elif name and head.startswith("static "):
            statics.add(name)
        elif name and in_c:
            last = text.count("\n", 0, match.end()) + 1
            declared[name] = comment or ctext.comment_behind(rows, last)
        if depth == 0:
            start = match.end()
    if not prototypes:
        kind = 'is extern "C"' if cxx else "is neither static nor inline"
        raise ValueError(
            f"load_inline() argument 'c_source': it defines no function that {kind}; write one, or name the "
            "functions to export, those of cuda_source, too, in `header`"
        )
    return "\n".join(prototypes) + "\n"


def _head(piece: str) -> str:
    """What stands before a brace, as a prototype says it."""
    head = " ".join(ctext.without_attributes(piece).split())
    head = _COMPLEX.sub(lambda match: f"{match[1] or match[2]} _Complex", head)
    return _RESULT_BEHIND.sub(r"\2\1", _NOEXCEPT.sub("", head))


def _tells(comment: list[str]) -> tuple[bool, bool]:
    """For the choice between two: "/* The slow way. */" at a body hides no constraints at its prototype."""
    return ctext.has_param(comment), bool(comment)


def _is_hidden(head: str, cxx: bool) -> bool:
    """Whether the linker finds no function under that name: of an inline one the compiler need not make any."""
    words = set(re.findall(r"\w+", head.partition("(")[0]))
    inline = words & {"inline", "__inline", "__inline__"}
    return bool(words & {"static", "typedef"} or (inline and (cxx or "extern" not in words)))
