"""Calls under valgrind's memcheck: what the sanitizers do not see, values that were never set above all.

Of its report only errors whose innermost frame lies in our own code count: Python, NumPy and torch have their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.reliability import children

OURS = re.compile(r"/_(?:runtime|kernels|ways|threads|memcheck)[^/]*\.so$")
HEADER = "int branch(void);\n"
SOURCE = """#include <stdlib.h>
int branch(void) { /* the control: a jump that depends on memory never set */
  int *unset = malloc(4), turns = 0;
  for (volatile int i = *unset; i > 3 && turns < 9; i--) turns++;
  free(unset);
  return turns;
}
"""


def work() -> None:
    """A few calls of each sort: each instruction takes fifty times its time here."""
    import torch

    from ffi_ext import load_inline
    from tests.reliability import leaks

    leaks.calls(rounds=1)
    torch.set_num_threads(1)
    assert load_inline("memcheck", SOURCE, HEADER).branch() < 10


def errors(report: Path) -> list[tuple[str, str]]:
    """Function and text of the errors whose innermost frame is ours."""
    found = []
    for error in ElementTree.parse(report).getroot().iter("error"):
        frame = error.find("stack/frame")
        if frame is not None and OURS.search(frame.findtext("obj", "")):
            text = error.findtext("what") or error.findtext("xwhat/text") or ""
            found.append((frame.findtext("fn", "?"), text))
    return found


def main() -> int:
    if not shutil.which("valgrind"):
        print("memcheck: valgrind is not installed")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = ["valgrind", "--xml=yes", f"--xml-file={report}", "--undef-value-errors=yes"]
        command += [sys.executable, "-m", "tests.reliability.memcheck", "--inside", "1"]
        environment = os.environ | {"PYTHONMALLOC": "malloc", "OMP_NUM_THREADS": "1"}
        status = subprocess.run(command, env=environment, check=False).returncode
        found = errors(report)
    failures = [f"{function}: {text}" for function, text in found if function != "branch"]
    if status:
        failures.append(f"the calls ended with status {status}")
    if not any(function == "branch" for function, _ in found):
        failures.append("the control's unset value was not found")
    return children.finish("memcheck", {"ours": len(found)}, failures)


if __name__ == "__main__":
    if children.arguments(__doc__ or "", inside=0).inside:
        work()
    else:
        sys.exit(main())
