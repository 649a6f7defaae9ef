"""What errors of scripts of 2017 mean: Python 2, modules and names that are no more, what torch has come to refuse."""

from __future__ import annotations

import os
import sys

# Python's own modules of 2017 that are no more, and since when. distutils comes with setuptools.
_SINCE = {
    "3.12": "asynchat asyncore imp smtpd",
    "3.13": "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap nntplib pipes sndhdr spwd sunau "
    "telnetlib uu xdrlib",
}
GONE = {name: version for version, names in _SINCE.items() for name in names.split()}
# Those that Python 2 calls otherwise.
RENAMED = {
    "BaseHTTPServer": "http.server",
    "ConfigParser": "configparser",
    "HTMLParser": "html.parser",
    "Queue": "queue",
    "StringIO": "io",
    "Tkinter": "tkinter",
    "__builtin__": "builtins",
    "cPickle": "pickle",
    "cStringIO": "io",
    "commands": "subprocess",
    "httplib": "http.client",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
}

# What forums told to paste into a file of one's own, when PyTorch 1.0 had dropped torch.utils.ffi.
COPIED = (
    "this is a copy of torch.utils.ffi, made of parts of PyTorch that are no more: import create_extension and "
    "_wrap_function from torch.utils.ffi itself, and build the extension again"
)


_DIVIDED = (
    "if that number is the result of a division: Python 2's / of whole numbers is // now, and that of old integer "
    "tensors, too"
)
_SQUEEZED = (
    "squeeze() left a tensor of one element one dimension until PyTorch 0.4: where this is a batch of one, write "
    ".view(-1), or squeeze(1) with the dimension"
)
_KEPT = (
    "if that is what sum, mean, max, min, norm, prod or another gave of one dimension: until PyTorch 0.2 they kept it "
    "as one of size 1: pass keepdim=True"
)
# The class of an error, words of its text, and what it means.
_MEANINGS = (
    (
        "ValueError",
        ("could not be broadcast together", "(0,)"),
        "if that is `if x == []`: with an array it was False until NumPy 1.25, and is an error: ask `if len(x) == 0`, "
        "as `ffi-ext port` writes",
    ),
    (
        "ValueError",
        ("inhomogeneous shape",),
        "NumPy made an array of objects of lists of several lengths until 1.24: numpy.array(lists, dtype=object)",
    ),
    (
        "IndexError",
        ("only integers, slices",),
        "if the index is a list: NumPy took one of slices or lists for a tuple until 1.23: x[tuple(index)]; "
        + _DIVIDED,
    ),
    (
        "OverflowError",
        ("out of bounds for uint8",),
        "NumPy counted beyond 255 where a number was too large for bytes until 2: x.astype(int) * 256",
    ),
    (
        "TypeError",
        ("only 0-dimensional arrays can be converted",),
        "NumPy took an array of one element for a number until 2.4: int(x[0]) for int(x)",
    ),
    (
        "KeyError",
        ("num_batches_tracked",),
        "BatchNorm counts its batches in state_dict() since PyTorch 0.4.1: pass over the keys that end in "
        "num_batches_tracked",
    ),
    (
        "RuntimeError",
        ("Expected a 'cuda' device type for generator",),
        "set_default_tensor_type('torch.cuda.FloatTensor') is asked of a DataLoader that shuffles, too, since torch "
        "1.7: DataLoader(..., generator=torch.Generator(device='cuda'))",
    ),
    (
        "RuntimeError",
        ("generator raised StopIteration",),
        "`raise StopIteration` in a generator is `return` since Python 3.7; torchtext has it from 0.2.3 on",
    ),
    (
        "CompileError",  # Cython's
        (".pyx",),
        "if Cython does not know np.int_t: that is np.intp_t, and NumPy 2 has no other name for it",
    ),
    (
        "IndexError",
        ("to have non-zero size",),
        "an empty tensor had the size () before PyTorch 0.4.1, which is false: where the way here is through "
        "`if x.size():`, write `if x.numel():`, as `ffi-ext port` does",
    ),
    (
        "UnpicklingError",
        ("weights_only",),
        "torch.load took whole models and whatever else Python pickles until torch 2.6. If you trust who made the "
        "file: TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 before the command",
    ),
    (
        "TypeError",
        ("iteration over a 0-d tensor",),
        _SQUEEZED,
    ),
    (
        "RuntimeError",
        ("to have", "same dtype"),
        "if one of them is of torch.arange(...): it gave floats until PyTorch 0.4: torch.arange(1.0, n)",
    ),
    ("IndexError", ("Dimension out of range", "[-1, 0]"), f"{_SQUEEZED}; or, {_KEPT}"),
    ("IndexError", ("Dimension out of range",), _KEPT),
    ("RuntimeError", ("The expanded size of the tensor", "must match the existing size"), _KEPT),
    ("TypeError", ("float", "int"), _DIVIDED),
    ("IndexError", ("float", "int"), _DIVIDED),
    ("IndexError", ("tensors used as indices must be",), _DIVIDED),
    ("RuntimeError", ("for index",), _DIVIDED),  # index_select's
    ("RuntimeError", ("scalar types: Long, Int",), _DIVIDED),  # Embedding's
)


def gone(module: str) -> str:
    """What to do about one of GONE or RENAMED, and about setuptools' pkg_resources; else nothing."""
    if module == "pkg_resources":
        return "setuptools has pkg_resources no more: pip install 'setuptools<81'"
    if module in RENAMED:
        return (
            f"Python 2's module {module} is {RENAMED[module]} in Python 3: rewrite what imports it"
        )
    if module not in GONE:
        return ""
    return (
        f"Python {GONE[module]} dropped its module {module}: rewrite what needs it, or use a Python before "
        f"{GONE[module]}"
    )


def _beside(module: str, traceback) -> str:  # type: ignore[no-untyped-def]
    """What to do about a module that Python 2 found in the folder of the file that imports it; else nothing."""
    place = ("", 0)
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        place = place if file.startswith("<frozen ") else (file, traceback.tb_lineno)
        traceback = traceback.tb_next
    folder = os.path.dirname(os.path.abspath(place[0]))
    ends = (f"{module}.py", os.path.join(module, "__init__.py"))
    if not module or not any(os.path.exists(os.path.join(folder, end)) for end in ends):
        return ""  # of a.b, too, which was looked for in a
    return (
        f"{module} lies beside {place[0]}, where Python 2 alone looks: in line {place[1]} write `from .{module} import "
        f"...` or `from . import {module}`, or set PYTHONPATH={folder}"
    )


def _meaning(kind, value, traceback) -> str:  # type: ignore[no-untyped-def]
    """What to do about an error that ends a script, where it does not say so itself."""
    said = str(value)
    if issubclass(kind, SyntaxError) and value.filename:
        import re

        # in what -m pdb and spawned processes compile
        if re.search(r"\basync\b(?!\s+(def|for|with)\b)", value.text or ""):
            return "async is a keyword since Python 3.7: `ffi-ext port` writes non_blocking"
        return (
            f"line {value.lineno} of {value.filename} is no Python 3: Python 2's print and except are errors of the "
            "language itself and out of ffi_ext's reach. Rewrite that line, or convert the file with "
            "`python -m lib2to3 -w` of a Python before 3.13"
        )
    if issubclass(kind, ModuleNotFoundError):
        return gone(value.name or "") or _beside(value.name or "", traceback)
    if issubclass(kind, (AttributeError, ImportError)):
        parts = ("'_safe_call'", "'_accumulate' from 'torch._utils'")
        return COPIED if any(part in said for part in parts) else ""
    key = value.args[0] if kind is KeyError and value.args else None
    # else it is an element, which is hashed as its number
    if type(key).__name__ == "Tensor" and hash(key) == id(key):
        return (
            "a reduction of a tensor was a number before PyTorch 0.4, and is a tensor, which no dict finds: "
            "names[index.max().item()]"
        )
    kinds = {cls.__name__ for cls in kind.__mro__}
    for name, words, meaning in _MEANINGS:
        if name in kinds and all(word in said for word in words):
            return meaning
    return ""


def explain_errors() -> None:
    """Has an error that ends a script or a thread say what it means; one with `async` as a name is run without."""
    import threading

    show, show_in_thread = sys.excepthook, threading.excepthook

    def tell(kind, value, traceback):  # type: ignore[no-untyped-def]
        if meaning := _meaning(kind, value, traceback):
            print(f"ffi_ext: {meaning}", file=sys.stderr)

    def hook(kind, value, traceback):  # type: ignore[no-untyped-def]
        if issubclass(kind, SyntaxError) and value.filename and traceback is None:  # nothing ran
            from ffi_ext.legacy import async_names

            async_names.start_again(value.filename)
        show(kind, value, traceback)
        tell(kind, value, traceback)

    def hook_in_thread(args):  # type: ignore[no-untyped-def]
        show_in_thread(args)
        tell(*args[:3])

    sys.excepthook, threading.excepthook = hook, hook_in_thread
