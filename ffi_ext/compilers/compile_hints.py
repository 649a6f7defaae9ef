"""What to do about what a compiler has printed."""

from __future__ import annotations

import difflib
import platform
import re
import sysconfig

from ffi_ext.paths import INCLUDE

IS_CXX = (
    'this is C++: pass language="c++", or name the file .cpp; what a header declares is extern "C"'
)
_CXX_LINE = re.compile(
    r'^ *\d+ \| .*(?:\btemplate\s*<|\bnamespace\b|\bclass \w|\bstd::|extern "C")', re.M
)
_C_COMPLAINT = re.compile(  # which g++ words differently
    r"unknown type name|undeclared \(first use|'asm' or '__attribute__' before|before string constant"
    r"|undeclared identifier 'std'|expected identifier or '\('"  # clang
)
# A header, as gcc and clang say it; gcc says the same of programs, plugins and objects, without a line.
_NOT_FOUND = re.compile(
    r"[\d>]: (?:fatal )?error: ([\w./\\+-]+): No such file or directory|'([\w./\\+-]+)' file not found"
)
# Before the library's name, as GNU's linkers, lld, mold and Apple's say it.
_NO_LIBRARY = r"(?:cannot find -l|unable to find library -l|library not found(?: for -l|: ))"
_MACHINE = platform.machine()
# What the output has, and what to do: the first that is found. {0} is the first group.
_HINTS = (
    (
        r"Killed signal terminated|unable to execute command: Killed|died due to signal 9|ended with -9$",
        "the system ended the compiler, as it does where memory is short: MAX_JOBS=1 has one run at a time",
    ),
    (
        r"unsupported GNU version! gcc versions later than (\d+)",
        "install one that this nvcc takes (Debian and Ubuntu: apt install g++-{0}): it is found by its name. Or say "
        "where one is: NVCC_CCBIN=/path/to/g++",
    ),
    *(
        (
            pattern,
            f"{{0}} is for another kind of processor than this one, {_MACHINE}: compile it anew",
        )
        for pattern in (
            r"skipping incompatible (\S+) when searching for (-l\S+)\n[\s\S]{,4000}cannot find \2(?::|$)",
            r"(?<!\S)(\S+): (?:error adding symbols: )?file in wrong format",
            r"error: (\S+)(?: is incompatible with elf|: unsupported ELF machine)",
        )
    ),
    (
        _NO_LIBRARY + r"(\S*/[^\s:]+)",
        "libraries are names: the file {0} goes into extra_objects",
    ),
    (
        _NO_LIBRARY + r"(?:lib|-l)([\w+-]+)",
        "libraries are named without -l, lib and what follows a dot: libraries=['{0}']",
    ),
    (
        _NO_LIBRARY + r"([\w.+-]+)",
        "the library {0} is not installed, or lies in a directory that is not in library_dirs",
    ),
    (
        r"error: (?:too few arguments to function (?:'_TH|call)|expected \S*expression(?: before '\)'|$))"
        r"[\s\S]{,900}?(?:in expansion of|expanded from) macro '(?:FFI_CHECK|TH(?:ArgCheck|Error|AssertMsg))'",
        'these macros take a text, too: FFI_CHECK(condition, "format", ...), THArgCheck(condition, argument, "format", '
        '...), THError("format", ...)',
    ),
    (
        r"too (?:few|many) arguments to function (?:call\b[\s\S]{,4000}? note: )?'(_*TH\w+)'",
        "{0} has other parameters in PyTorch 0.3.1, whose interface this is: in 0.1.12 the functions along a "
        "dimension had no last argument keepdim (pass 1), stdall and varall no biased (pass 0)",
    ),
    (
        r"\b(Thrust|CUB) requires at least C\+\+17",
        "a -std asks for less, or nvcc calls a compiler that takes less unasked, such as clang before 16: "
        "NVCC_APPEND_FLAGS=-std=c++17 asks for it",
    ),
    (
        "Failed to preprocess host compiler properties",
        "nvcc cannot call the C++ compiler for what runs on the CPU: the one that -ccbin or NVCC_CCBIN names, else g++ "
        "on PATH",
    ),
    (
        r"error: (?:texture|surface) is not a template",
        "texture and surface references are gone since CUDA 12: read the memory itself (__ldg), or through a "
        "texture object (THCudaTensor_getTextureObject)",
    ),
    (
        r'class "cudaDeviceProp" has no member "(\w+)"',
        "CUDA 13 has no {0} in cudaDeviceProp: ask cudaDeviceGetAttribute",
    ),
    (
        r'"atomicAdd" matches the argument list\s+argument types are: \((double|half)',
        "this is compiled for GPUs, too, that have no atomicAdd of {0}s: #include <THC/THCAtomics.cuh> brings one, or "
        "TORCH_CUDA_ARCH_LIST names the GPUs that you have, such as 8.0",
    ),
    (
        r'class "__half" has no member "x"',
        "the bits of a half are __half_as_ushort(value), and THC_half2float(value) is its number",
    ),
    (
        r"ptxas fatal\s*: Unresolved extern function",
        "device functions of another file are not linked: #include that file, or have a make.sh do it (nvcc -dlink)",
    ),
    (
        r"\(c(?:uda)?_source\):\d+.*missing terminating",
        r"Python has made a line break of \n in it: begin the text with r, as in r'''...'''",
    ),
    (r"unknown type name 'bool'", "C before C23 has bool in <stdbool.h>: #include it"),
    (
        r"(?m)^ *\d+ \| .*(?:\b__(?:global|device)__\b|<<<|\b(?:block|thread)Idx\b)",
        "this is CUDA, which nvcc compiles: name the file .cu",
    ),
    (r"unknown type name 'THC(?:uda|State)", "THC's types need with_cuda=True"),
    (
        r"(?:unknown type name|undeclared identifier) '(?:ffi_ext_|FFI_)\w+'(?!.*'(?:ffi_ext_|FFI_))"
        r"|'(?:ffi_ext_|FFI_)\w+' (?:undeclared|was not declared|does not name a type)(?!.*'(?:ffi_ext_|FFI_))"
        r'|identifier "(?:ffi_ext_|FFI_)\w+" is undefined',
        "#include <ffi_ext.h> at the top of the source",
    ),
    (
        r"unknown type name '(?:TH\w*Real\w*|real)'",
        "real and THTensor are for files that TH_GENERIC_FILE names: write the type, such as float and THFloatTensor",
    ),
    (
        r"(?:error: |unknown type name |identifier )['\"](THFile|THMapAllocatorContext)['\"]",
        "{0} is not in ffi_ext: read and write files in Python (torch.from_file maps one), and pass the tensor",
    ),
    (
        r'identifier "THC\w*(?:State|Tensor|Storage)"',
        "#include <THC/THC.h> at the top of the source",
    ),
    (
        r"unknown type name 'TH\w*'(?!.*'TH)|identifier \"TH\w*(?:Tensor|Storage)\"",
        "#include <TH/TH.h> at the top of the source",
    ),
    (
        r"undefined (?:reference to [`']|symbol: )(?:Py|TH|_TH)",
        "Python and ffi_ext bring their functions when the module is imported: take -Wl,-z,defs and "
        "-Wl,--no-undefined out of LDFLAGS and extra_link_args",
    ),
    (
        r"multiple definition of|duplicate symbol: ",
        "two sources define the same function; is one of them included by the other or listed twice, or does a "
        "header have the function's body? There it must be static inline, and a variable extern",
    ),
    (r"(?<!\S)(\S+\.[^\s.]+): relocation .*recompile with -fPIC", "{0} was compiled without -fPIC"),
    (r"recompile with -fPIC", "a file in extra_objects was compiled without -fPIC"),
    (
        r"conflicting declaration of .* with 'C' linkage|has a different language linkage"
        "|linkage specification is incompatible with previous",
        'the header declares it as C++: write #ifdef __cplusplus, extern "C" {{, #endif into the header, or extern "C" '
        "around the source's #include of it",
    ),
    (
        r"conflicting types for '(\w+)'[\s\S]{,8000}?^(/[^\n:]+):\d+:\d+: note: previous",
        "{1} has another {0}: make them equal, or if that is not yours, rename the one that is",
    ),
    (
        r"unsupported option '-fopenmp'",
        "Apple's clang takes -Xpreprocessor -fopenmp instead, and OpenMP's library for the link: brew install libomp. "
        "Without either the loops run in one thread",
    ),
    (
        r"(?:unrecognized command-line option|unsupported option|does not support) '-m|unknown target CPU"
        r"|(?:value|argument) \W*\S+ (?:for|to option) '-m",
        f"flags that begin with -m are each for one kind of processor, and this one, {_MACHINE}, has no such: leave "
        "it out here",
    ),
    (
        r"always_inline'? (?:function )?'(\w+)'(?:: target specific option| requires target feature)",
        "not every processor of this kind has {0}: give extra_compile_args the flag that it needs, such as -mavx2 or "
        "-mfma, or -march=native for all that this machine's has",
    ),
    (
        r"argument to '-O' should be|(?:unrecognized command-line option|unknown argument:) '-[^'\n]* -",
        "a list has an item for each flag: ['-O2', '-g']",
    ),
    (
        r"Error: (?:unknown mnemonic|no such instruction)|unrecognized instruction mnemonic"
        r"|unknown register name .* in '?asm|attribute 'target\(.*\)' is not valid",
        f"these are instructions of one kind of processor, and this one is {_MACHINE}: put them behind #ifdef "
        "__x86_64__ or __aarch64__, and plain C behind the #else",
    ),
    (
        r"error: (.+): linker input file not found",
        "{0} is no file, and among the flags for the compiler (extra_compile_args, CFLAGS) no flag",
    ),
    (
        r"warning: (.+): '?linker'? input (?:file )?unused",
        "{0} is no source by its suffix, as .c, .cpp and .cu are: objects and libraries are extra_objects",
    ),
)
# The same of a header that is not there, by its whole name.
_MISSING = (
    (r".*\\.*", "a path of Windows: write it with /, which works there, too"),
    (  # images of containers have gcc without them
        r"((?:assert|ctype|errno|float|inttypes|limits|locale|math|signal|stdint|stdio|stdlib|string|time|unistd|wchar"
        r"|features|sys/types)\.h|bits/.*)",
        "{0} is one of C's own headers, which are a package of their own: apt install libc6-dev (dnf install "
        "glibc-devel; apk add musl-dev)",
    ),
    *(
        (
            rf"({names}\.h)",
            f"{{0}} has instructions of {kind} processors, and this one is {_MACHINE}: put what uses them behind "
            f"#ifdef {macro}, and plain C behind the #else, or take a library that has them for all processors (SIMDe)",
        )
        for names, kind, macro in (
            (r"(?:\w+intrin|cpuid)", "x86", "__x86_64__"),  # intrin.h is MSVC's
            ("arm_(?:acle|bf16|fp16|neon|sve)", "ARM", "__aarch64__"),
        )
    ),
    (
        r"Python\.h|pyconfig\.h",
        "Python's own headers are not in {python}: apt install python3-dev (dnf install python3-devel)",
    ),
    (  # with ATen/cuda/CUDAContext.h
        r"((?:ATen|c10|torch)/.*)",
        "{0} belongs to PyTorch's C++ library, whose interface changes from version to version and is no part of "
        "torch.utils.ffi: write the source on <ffi_ext.h> or <TH/TH.h> (docs/tutorial.md has a table), or build it "
        "with torch.utils.cpp_extension",
    ),
    (  # the project's own are roi_cuda.h, cuda_utils.h, cuda/nms.h
        r"((?:cub/|cublas|cufft|curand|cusolver|cusparse|npp|thrust/).*|cuda/[\w/]+"
        r"|cuda(?:_runtime|_bf16|_fp\d+|_\w+_(?:api|interop)|[A-Z]\w+)?\.h)",
        "{0} is a header of the CUDA toolkit, which headers and C sources see with with_cuda=True; where it is "
        "missing, install the whole toolkit, or set CUDA_HOME to one that has it",
    ),
    (r"(numpy/.*)", "{0} is one of NumPy's own headers: include_dirs=[numpy.get_include()]"),
    (
        r"omp\.h",
        "OpenMP's header is a package of its own for clang: apt install libomp-dev (brew install libomp)",
    ),
    (
        r"crt/.*",
        "pip's nvidia-cuda-runtime has no headers of crt/: pip install nvidia-cuda-crt of the same version "
        "(nvidia-cuda-nvcc, which brings them, compiles .cu sources, too), or set CUDA_HOME to a toolkit",
    ),
    (r"[a-z_]+", IS_CXX.replace("{", "{{").replace("}", "}}")),
    (
        r"((?:pybind11|nanobind)/.*)",
        "{0} is not needed: a header of C prototypes is the binding (docs/tutorial.md has a table)",
    ),
    (
        r"(?:.*/)?(.*)",
        "is the directory of {0} in include_dirs? (relative ones start at the build script, of load and load_inline at "
        "the current directory)",
    ),
)


def hint(text: str) -> str:
    """What to do about what a compiler has printed, or "" where that is not known."""
    if "No space left on device" in text:  # which makes files go missing, too
        return "the disk is full"
    missing = _NOT_FOUND.search(text)
    if missing:
        return _missing_header(missing[1] or missing[2])
    if _C_COMPLAINT.search(text) and _CXX_LINE.search(text):
        return IS_CXX
    for pattern, words in _HINTS:
        if match := re.search(pattern, text, re.M):
            return words.format(*match.groups())
    return ""


def _missing_header(name: str) -> str:
    if re.match("THC?(?:U?NN)?(?:/|[A-Z][a-z]|\\.)", name):
        return _missing_th_header(name)
    found = ((re.fullmatch(pattern, name), words) for pattern, words in _MISSING)
    match, words = next((match, words) for match, words in found if match)
    return words.format(*match.groups(), python=sysconfig.get_paths()["include"])


def _missing_th_header(name: str) -> str:
    headers = [path for path in INCLUDE.rglob("*") if path.suffix in (".h", ".cuh")]
    known = [str(path.relative_to(INCLUDE)) for path in headers]
    known += [path.name for path in headers]
    # What THC has in .cuh files and we have not is no misspelling of what we have.
    cutoff = 0.9 if name.endswith(".cuh") else 0.6
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    close = close or [k for k in known if k.lower() == name.lower()]
    if close:
        return f"did you mean {close[0]}?"
    if name.endswith(".cuh"):
        return (
            f"{name} is of the templates that THC's own kernels were made of, which ffi_ext has not: write a "
            "kernel over THCudaTensor_data() of contiguous tensors"
        )
    return f"{name} is no header of TH's C interface that this version has"
