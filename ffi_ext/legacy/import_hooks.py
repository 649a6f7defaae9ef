"""Makes `torch.utils.ffi` importable again: a hook that does nothing until it is asked for.

No imports of weight here: interpreters in which the hook is enabled pay for them at each start.
"""

from __future__ import annotations

import sys

NAME = "torch.utils.ffi"

# What NumPy had until 1.24 (Python's types, and a module of its own) or 2, and what that is today.
OF_NUMPY = {name: name for name in ("bool", "complex", "float", "int", "object", "str", "math")}
OF_NUMPY |= {
    "Inf": "numpy.inf",
    "NAN": "numpy.nan",
    "NINF": "-numpy.inf",
    "NaN": "numpy.nan",
    "PINF": "numpy.inf",
    "alltrue": "numpy.all",
    "asscalar": "lambda x: x.item()",
    "complex_": "numpy.complex128",
    "cumproduct": "numpy.cumprod",
    "float_": "numpy.float64",
    "in1d": "lambda x, *of, **how: numpy.isin(numpy.ravel(x), *of, **how)",
    "infty": "numpy.inf",
    "long": "int",
    "mat": "numpy.asmatrix",
    "product": "numpy.prod",
    "rank": "numpy.ndim",
    "round_": "numpy.round",
    "row_stack": "numpy.vstack",
    "sometrue": "numpy.any",
    "string_": "numpy.bytes_",
    "trapz": "numpy.trapezoid",
    "unicode": "str",
    "unicode_": "numpy.str_",
}

# What gave `x.data` another shape gave it to x, too, before PyTorch 1.1.
RESHAPES = ("resize_", "resize_as_", "set_", "squeeze_", "unsqueeze_", "t_", "transpose_")


class Finder:
    """Finds `torch.utils.ffi`, and nothing else, before torch's own folder is searched."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != NAME:
            return None
        from importlib.util import spec_from_file_location

        from ffi_ext import torch_utils_ffi

        return spec_from_file_location(NAME, torch_utils_ffi.__file__)


class After:
    """Finds one module as ever, and does something with it when it has been imported."""

    def __init__(self, name, act):  # type: ignore[no-untyped-def]
        self.name, self.act = name, act

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != self.name:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module):  # type: ignore[no-untyped-def]
            execute(module)
            if self in sys.meta_path:
                self.act(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def install(self) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]
            if self.name in sys.modules:
                self.act(sys.modules[self.name])

    def uninstall(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)  # type: ignore[arg-type]


_ABSENT = object()
_given: list = []  # type: ignore[type-arg] # modules and classes, their names, what these are now, and were before


def _give(owner, name, value) -> None:  # type: ignore[no-untyped-def]
    """Makes a module's or class's name mean something else, until uninstall()."""
    if isinstance(value, type(_give)):  # pickled, and asked for its name, it is what it stands for
        value.__name__, place = name, getattr(owner, "__qualname__", None)
        value.__qualname__ = f"{place}.{name}" if place else name
        value.__module__ = owner.__module__ if place else owner.__name__
    _given.append((owner, name, value, vars(owner).get(name, _ABSENT)))
    setattr(owner, name, value)


def _take_back() -> None:
    while _given:
        owner, name, value, before = _given.pop()
        if vars(owner).get(name) is not value:  # somebody else's by now
            continue
        if before is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _lend(module, names) -> None:  # type: ignore[no-untyped-def]
    for name, value in names.items():
        if name not in vars(module):
            _give(module, name, value)


def _old_torch(torch) -> None:  # type: ignore[no-untyped-def]
    from ffi_ext.legacy import old_torch

    old_torch.bring_back(_give)


def _old_numpy(numpy) -> None:  # type: ignore[no-untyped-def]
    import math

    names = {"math": math, "numpy": numpy}
    gone = {name: now for name, now in OF_NUMPY.items() if name not in vars(numpy)}
    _lend(numpy, {name: eval(now, names) for name, now in gone.items()})
    original = numpy.fromstring

    def fromstring(string, dtype=float, count=-1, sep="", *, like=None):  # type: ignore[no-untyped-def]
        """Bytes as numbers, too, as readers of LMDB have it until NumPy 2.3."""
        if sep:
            return original(string, dtype, count, sep=sep, like=like)
        string = string.encode("latin1") if isinstance(string, str) else string
        return numpy.frombuffer(string, dtype, count).copy()

    _give(numpy, "fromstring", fromstring)


def _old_choices(random) -> None:  # type: ignore[no-untyped-def]
    import numpy

    original = random.choice

    def choice(a, *args, **kwargs):  # type: ignore[no-untyped-def]
        """One of `(None, (0.1, None), ...)`, as SSD crops: what has no common shape was objects until NumPy 1.24."""
        try:
            return original(a, *args, **kwargs)
        except ValueError as error:
            if "inhomogeneous" not in str(error):
                raise
        objects = numpy.empty(len(a), object)
        objects[:] = a
        return original(objects, *args, **kwargs)

    _give(random, "choice", choice)


def _old_torchvision(transforms) -> None:  # type: ignore[no-untyped-def]
    """The names of two transforms until torchvision 0.2."""
    new = {"Scale": transforms.Resize, "RandomSizedCrop": transforms.RandomResizedCrop}
    _lend(transforms, new)
    _lend(getattr(transforms, "transforms", transforms), new)  # no package in 0.1
    functional = sys.modules.get(f"{transforms.__name__}.functional")
    if functional is None:
        return
    original = functional.normalize

    def normalize(tensor, mean, std, *inplace):  # type: ignore[no-untyped-def]
        """Of the channels that there are: GANs of digits have `Normalize((.5, .5, .5), ...)`, which was no error."""
        channels = tensor.shape[-3]
        return original(tensor, mean[:channels], std[:channels], *inplace)

    _give(functional, "normalize", normalize)


def _old_grids(utils) -> None:  # type: ignore[no-untyped-def]
    """`save_image(x, path, range=(-1, 1))`, by torchvision's name of then."""
    original = utils.make_grid

    def make_grid(*args, **kwargs):  # type: ignore[no-untyped-def]
        if "range" in kwargs:
            kwargs["value_range"] = kwargs.pop("range")
        return original(*args, **kwargs)

    _give(utils, "make_grid", make_grid)


def _old_models(models) -> None:  # type: ignore[no-untyped-def]
    """`from torchvision.models.resnet import model_urls`, by which copies of the nets load weights until 0.13."""
    for name in ("alexnet", "densenet", "resnet", "squeezenet", "vgg"):
        module = sys.modules[f"{models.__name__}.{name}"]
        weights = {k[:-8].lower(): w for k, w in vars(module).items() if k.endswith("_Weights")}
        urls = {net: of_net.IMAGENET1K_V1.url for net, of_net in weights.items()}
        _lend(module, {"model_urls": urls})


def _old_pil(Image) -> None:  # type: ignore[no-untyped-def]
    from functools import cache

    original = Image.Image.resize
    say = cache(print)  # scripts of images may not import torch, as say_once() does
    told = "ffi_ext: resize() of a PIL image takes the nearest pixels, as it did"

    def resize(self, size, resample=None, *args, **kwargs):  # type: ignore[no-untyped-def]
        """By the nearest pixel where no filter is named, as until Pillow 7: a bicubic one blends labels, too."""
        if resample is None:
            say(told, file=sys.stderr)
            resample = Image.NEAREST
        return original(self, size, resample, *args, **kwargs)

    _give(Image.Image, "resize", resize)
    _lend(Image, {"ANTIALIAS": Image.LANCZOS})


def _old_scipy(misc) -> None:  # type: ignore[no-untyped-def]
    """`from scipy.misc import imread, imresize`, as detectors and flow networks read their images until SciPy 1.2."""
    from ffi_ext.legacy import old_images

    _lend(misc, old_images.IMAGES)


def _old_python(inspect) -> None:  # type: ignore[no-untyped-def]
    """getargspec, which Python 3.11 has no more, and time.clock, which 3.8 has not."""
    import time
    from collections import namedtuple

    ArgSpec = namedtuple("ArgSpec", "args varargs keywords defaults")
    _lend(time, {"clock": time.process_time})
    _lend(inspect, {"getargspec": lambda f: ArgSpec(*inspect.getfullargspec(f)[:4])})


def _old_collections() -> None:
    """Mapping, Sequence and their kin, which Python 3.10 has in collections.abc alone."""
    import collections.abc

    _lend(collections, {name: getattr(collections.abc, name) for name in collections.abc.__all__})


def _old_yaml(yaml) -> None:  # type: ignore[no-untyped-def]
    """`yaml.load(file)`, as every Faster R-CNN reads its configuration, until PyYAML 6 asked for a Loader."""
    original = yaml.load

    def load(stream, Loader=yaml.FullLoader):  # type: ignore[no-untyped-def]
        return original(stream, Loader)

    _give(yaml, "load", load)


def _old_async() -> None:
    from importlib.machinery import SourceFileLoader

    original = SourceFileLoader.get_code

    def get_code(self, fullname):  # type: ignore[no-untyped-def]
        try:
            return original(self, fullname)
        except SyntaxError:
            from ffi_ext.legacy import async_names

            if compiled := async_names.code(self.get_filename(fullname)):
                return compiled
            raise

    _lend(SourceFileLoader, {"get_code": get_code})


def _called_build_extension(cpp_extension) -> None:  # type: ignore[no-untyped-def]
    """`BuildExtension("_ext.name", headers=..., sources=...)`, as forums told scripts to call it for PyTorch 1.0.

    torch's BuildExtension is a command of setuptools: the call never built anything.
    """
    original = cpp_extension.BuildExtension

    class BuildExtension(original):  # type: ignore[misc, valid-type]
        def __new__(cls, *args, **kwargs):  # type: ignore[no-untyped-def]
            name = kwargs.get("name", args[0] if args else None)
            if not isinstance(name, str) and "headers" not in kwargs:
                return super().__new__(cls)  # of a Distribution, as setuptools calls it
            from ffi_ext import torch_utils_ffi

            print(
                "ffi_ext: BuildExtension(name, headers, ...) is create_extension here",
                file=sys.stderr,
            )
            return torch_utils_ffi.create_extension(*args, **kwargs)

    _give(cpp_extension, "BuildExtension", BuildExtension)


def _old_setup(dist) -> None:  # type: ignore[no-untyped-def]
    """What a setup.py of 2017 takes for granted."""
    import distutils.ccompiler  # noqa: F401 - setuptools of then had imported it: `from setuptools import distutils`

    original = dist.Distribution.fetch_build_eggs

    def fetch_build_eggs(self, requires):  # type: ignore[no-untyped-def]
        """`setup_requires=["torch==0.3.1"]`: what is here in another version is not fetched."""
        import re
        from importlib import metadata

        wanted = requires.splitlines() if isinstance(requires, str) else list(requires)
        missing = []
        for requirement in wanted:
            name = re.match(r"[\w.-]*", str(requirement).strip())[0]  # type: ignore[index]
            try:
                here = metadata.version(name) if name else None
            except metadata.PackageNotFoundError:
                here = None
            if here is None:
                missing.append(requirement)
                continue
            if str(requirement).strip() != name:
                print(f"ffi_ext: setup_requires {requirement}: {here} is here", file=sys.stderr)
        return original(self, missing) if missing else []

    _give(dist.Distribution, "fetch_build_eggs", fetch_build_eggs)


def _fork(context) -> None:  # type: ignore[no-untyped-def]
    default = context._default_context
    default._default_context = context._concrete_contexts["fork"]


TORCH = After("torch", _old_torch)
BUILDS = (
    After("torch.utils.cpp_extension", _called_build_extension),
    After("setuptools.dist", _old_setup),
)
LIBRARIES = (
    TORCH,
    After("torchvision.transforms", _old_torchvision),
    After("torchvision.models", _old_models),
    After("torchvision.utils", _old_grids),
    After("numpy", _old_numpy),
    After("numpy.random", _old_choices),  # apart: NumPy imports it when it is asked for
    After("scipy.misc", _old_scipy),
    After("PIL.Image", _old_pil),
    After("yaml", _old_yaml),
    After("inspect", _old_python),
)


def install(autograd: bool = False) -> None:
    """Makes `import torch.utils.ffi`, in every spelling, give ffi_ext's, and BuildExtension called like it build.

    Args:
        autograd: Also make old-style autograd Functions work (instances with `forward` and `backward`,
            called as `F(arguments)(inputs)`), `.data[0]` of a tensor without dimensions,
            `x.cuda(async=True)`, `numpy.float`, and the rest of what docs/porting.md lists.
    """
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
    for hook in (*BUILDS, *(LIBRARIES if autograd else ())):
        hook.install()
    if autograd:
        _old_collections()
        _old_async()


def uninstall() -> None:
    """Takes away what install() brought; modules that were built with `torch.utils.ffi` stay usable."""
    if Finder in sys.meta_path:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]
        module = sys.modules.pop(NAME, None)
        utils = sys.modules.get("torch.utils")
        if module is not None and getattr(utils, "ffi", None) is module:
            del utils.ffi  # type: ignore[union-attr]
    for hook in (*BUILDS, *LIBRARIES):
        hook.uninstall()
    _take_back()
    sys.modules.pop("torch._six", None)  # old_torch.py's


def fork_workers() -> None:
    """Processes start by fork unless the script says otherwise, as on Linux before Python 3.14.

    Scripts that start a DataLoader's workers without `if __name__ == "__main__"`, or hand them lambdas,
    rely on it.
    """
    if sys.platform == "linux" and sys.version_info >= (3, 14):
        After("multiprocessing.context", _fork).install()
