"""README and docs/: every code block is run as a reader would, links lead somewhere, errors.md has every error.

A block with title="FILE" is that file. One of Python followed by "prints" and a text is run, and prints that; one
without a title is run. `console` blocks are commands and what they print; "..." stands for anything, times for others.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ffi_ext import runtime
from tests.processes import python

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.M | re.S)
OF_THE_APPLICATION = {"README", "kernels"}  # its readers start Python in the project's folder
# In test_data_docs.py and test_resnet_modes.py, which look at the results.
ELSEWHERE = {"data", "resnet"}
KINDS = {"c", "cpp", "cuda", "toml", "python", "console", "text"}


def run(folder: Path, command: str) -> str:
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", TORCHDYNAMO_VERBOSE="0")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, shell=True, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return done.stdout
    raised = list(
        re.finditer(r"^[\w.]*Error: ", done.stderr, re.M)
    )  # without the traceback above it
    return done.stdout + (done.stderr[raised[-1].start() :] if raised else done.stderr)


def lines(text: str) -> list[str]:
    """Without times, and without the order of what is compiled at once."""
    rows = [re.sub(r"\d+\.\d+ s\b", "N s", row.rstrip()) for row in text.strip().splitlines()]
    plain = [re.sub(r"^\[\d+/(\d+)\] ", r"[N/\1] ", row) for row in rows]
    return plain if plain == rows else sorted(plain)


def has_code(document: Path) -> bool:
    if document.stem in ELSEWHERE:
        return False
    return any(kind in ("python", "console") for kind, _, _ in BLOCK.findall(document.read_text()))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if has_code(d)], ids=lambda d: d.stem)
def test_code_blocks(document, tmp_path, monkeypatch):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / ".cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    text = document.read_text()
    blocks = list(BLOCK.finditer(text))
    scripts: list[Path] = []
    opened = re.findall(r"^```\S", text, re.M)
    assert len(blocks) == len(opened), "a block that the test cannot read"
    for index, match in enumerate(blocks):
        kind, title, body = match.groups()
        assert kind in KINDS, f"a block of {kind}: give it a title, or make it console or text"
        if title:
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_text(body)
            following = blocks[index + 1] if index + 1 < len(blocks) else None
            between = text[match.end() : following.start()].strip() if following else ""
            if kind == "python" and between == "prints":
                assert lines(run(folder, f"{sys.executable} {title}")) == lines(following[3])
        elif kind == "python":
            scripts.append(tmp_path / f"block{index}.py")
            scripts[-1].write_text(body)
        elif kind == "console":
            commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.M)
            assert commands, "a console block without a command"
            for command, shown in commands:
                if command.startswith("make "):
                    continue  # this project's own, which the tests are part of
                got = lines(run(folder, command))
                if runtime.tier() != "native":  # a note that such versions of torch get
                    got = [row for row in got if "tensors are read through Python" not in row]
                parts = [re.escape("\n".join(lines(part))) for part in shown.split("...\n")]
                assert re.fullmatch(r"[\s\S]*".join(parts), "\n".join(got)), (command, got)
    if scripts:  # in one process: torch's import takes longer than they do
        env = {"PYTHONPATH": str(ROOT)} if document.stem in OF_THE_APPLICATION else {}
        each = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path)"
        said = python("-c", each, *scripts, cwd=folder, **env)
        assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_each_file_is_named_above_it(document):
    """GitHub and mkdocs do not show the title of a block."""
    text = document.read_text()
    for match in BLOCK.finditer(text):
        above = text[: match.start()].rstrip().rpartition("\n\n")[2]
        assert match[2] is None or f"`{match[2]}`" in above


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(document):
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            assert anchor in map(slug, headings), target
    for named in re.findall(r"`(docs/[\w./]+|tests/test_\w+\.py|benchmarks/[\w./]+)`", text):
        assert (ROOT / named).exists(), named


def test_functions_that_are_named_are_there():
    table = (ROOT / "docs" / "th_api.md").read_text()
    lists = re.findall(
        r"^`TH(?:Cuda)?<T>Tensor_`, (?:C|torch):(.*?)(?:\n\n|\Z)", table, re.M | re.S
    )
    listed = set(re.findall(r"\w+", " ".join(lists)))
    named = {n for d in DOCUMENTS for n in re.findall(r"TH[A-Z]\w+Tensor_(\w+)", d.read_text())}
    assert len(listed) > 200 and not named - listed


def test_every_document_is_in_the_navigation():
    there = {path.name for path in DOCUMENTS[1:]}
    assert set(re.findall(r"(\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)) == there
    index = (ROOT / "docs" / "index.md").read_text()
    assert set(re.findall(r"\]\((\w+\.md)\)", index)) == there - {"index.md"}


def template(node: ast.expr) -> str | None:
    """The fixed words of a message, with ... for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values)
    return None


def messages() -> list[tuple[str, str]]:
    """Where an error is raised, and the longest fixed words of its text."""
    found = []
    for path in sorted((ROOT / "ffi_ext").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            said: list[ast.expr] = []
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if re.fullmatch(
                    r"\w*(Error|Refused)|(\w+\.)?_?refusal|\w+\.unexpected|_error|_wrong", name
                ):
                    said = node.args
            elif isinstance(node, ast.Tuple) and re.fullmatch(
                r"\w+Error, .*", ast.unparse(node)[1:-1]
            ):
                said = node.elts[1:]  # a kind of error and its text
            texts = [t for a in said if (t := template(a))]
            found += [(f"{path.relative_to(ROOT)}:{node.lineno}", t) for t in texts[:1]]
    for path in sorted((ROOT / "ffi_ext" / "csrc").glob("*.c*")):
        source = path.read_text()
        pattern = r'(?:PyErr_Format|PyErr_SetString)\(\s*\w+,\s*((?:"(?:\\.|[^"\\])*"\s*)+)'
        for match in re.finditer(pattern, source):
            text = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', match[1]))
            line = source.count("\n", 0, match.start()) + 1
            found.append((f"{path.relative_to(ROOT)}:{line}", re.sub(r"%\w+", "\0", text)))
    result = []
    for where, text in found:
        longest = max(re.split(r"[\0\n]", text), key=len).strip(" '\":;,.()")
        if len(longest) > 8:
            result.append((where, longest[:60].strip()))
    return result


def test_errors_md_has_every_error():
    text = " ".join((ROOT / "docs" / "errors.md").read_text().split())
    missing = [f"{where}: {words}" for where, words in messages() if words not in text]
    assert len(messages()) > 80
    assert not missing, "docs/errors.md does not have:\n" + "\n".join(missing)


def test_the_comparison_is_the_one_that_is_checked(monkeypatch):
    """benchmarks/comparison.py checks each cell by building and running; this, that the README has its table."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import comparison

    assert comparison.table() in (ROOT / "README.md").read_text()


def test_the_map_of_the_code_has_every_module():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    package = ROOT / "ffi_ext"
    files = [path for kind in ("*.py", "*/*.py", "csrc/*.c*") for path in package.glob(kind)]
    spoken_for = ("cli", "codegen")  # in one row each, which says how their files are named
    names = [p.name for p in files if p.name[0] != "_" and p.parent.name not in spoken_for]
    listed = {
        word.rpartition("/")[2] for word in re.findall(r"`([^`]+)`", text)
    }  # th_*.c among them
    assert len(names) > 80
    assert not [n for n in names if not any(fnmatch.fnmatchcase(n, word) for word in listed)]
