"""Static analysis of the C of this project: clang-tidy and gcc's -fanalyzer. Fails when one of them has a finding."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

GENERIC = Path("ffi_ext/csrc/th_generic.c")
TYPES = ("Float", "Long")
INCLUDED = re.compile(r'#define TH_GENERIC_FILE ".*/(\w+\.c)"\n#include "TH/\w+\.h"\n')
FOLDER = Path("build/analyze")
INCLUDE = ["-Iinclude", "-Isrc", "-Iffi_ext/csrc", "-Iffi_ext/include"]
INCLUDE += [f"-I{sysconfig.get_path('include')}"]
DEFINE = ["-DPy_LIMITED_API=0x030A0000", "-DFFI_ANALYZED", "-fopenmp"]

# Left out are matters of taste, and what is meant: memcmp as a truth value, generic/*.c included, char as a flag,
# PyObject ** as void *, the numbers of a signature that we wrote, loops over x + 1 up to 10, Python's own structs.
CHECKS = """-*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,
-bugprone-macro-parentheses,-bugprone-signed-bitwise,-bugprone-narrowing-conversions,-bugprone-branch-clone,
-bugprone-suspicious-include,-bugprone-suspicious-string-compare,-bugprone-multi-level-implicit-pointer-conversion,
-bugprone-assignment-in-if-condition,-bugprone-float-loop-counter,-bugprone-unchecked-string-to-number-conversion,
-bugprone-implicit-widening-of-multiplication-result,-clang-analyzer-security.FloatLoopCounter,
-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-optin.performance.Padding"""

# gcc 12 takes numbers copied to another type by memcpy, and arrays filled in a loop, for uninitialised; clang's
# analyzer and valgrind look for such values, too.
GCC = ["-fanalyzer", "-Wno-analyzer-use-of-uninitialized-value", "-c", "-o", "/dev/null"]

# The generic loops: data is NULL only where there are no elements, which gcc does not follow; clang does.
NO_ELEMENTS = ["-Wno-analyzer-null-dereference"]


def findings(command: list[str]) -> list[str]:
    """The lines of a tool's output that name a finding."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = f"{done.stdout}\n{done.stderr}".split("\n")
    found = [line for line in lines if " warning: " in line or " error: " in line]
    if done.returncode and not found:
        found = [f"{command[0]} {command[-1]} ended with status {done.returncode}", *lines[-5:]]
    return found


def sources() -> list[Path]:
    """The C files; of th_generic.c, which takes 9.5 GB at once, each generic file for a type of each sort."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = GENERIC.read_text()
    made = []
    for kept in sorted(Path("ffi_ext/csrc/generic").glob("th_*.c")):
        alone = INCLUDED.sub(lambda m, name=kept.name: m[0] if m[1] == name else "", text)
        for type_name in TYPES:
            made.append(FOLDER / f"{kept.stem}_{type_name}.c")
            made[-1].write_text(alone.replace("THGenerateAllTypes", f"THGenerate{type_name}Type"))
    others = [*Path("src").glob("*.c"), *Path("ffi_ext/csrc").glob("*.c")]
    return sorted(set(others) - {GENERIC}) + made


def main() -> int:
    tidy = shutil.which("clang-tidy", path=str(Path(sys.executable).parent)) or "clang-tidy"
    gcc_headers = subprocess.run(
        ["gcc", "-print-file-name=include"], capture_output=True, text=True, check=True
    ).stdout.strip()  # omp.h
    checks = "".join(CHECKS.split())
    total = 0
    for source in sources():
        flags = ["-std=gnu11", *INCLUDE, *DEFINE]
        command = [tidy, "--quiet", f"-checks={checks}", str(source), "--", *flags]
        found = findings([*command, f"-isystem{gcc_headers}"])
        generic = NO_ELEMENTS if source.parent == FOLDER else []
        found += findings(["gcc", *GCC, *generic, *flags, str(source)])
        total += len(found)
        print(f"{source}: {len(found) or 'clean'}", *found, sep="\n  ", flush=True)
    print(f"{total} findings")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
