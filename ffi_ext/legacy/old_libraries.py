"""What torch and other libraries are given when they have been imported. None of them is imported here."""

from __future__ import annotations

import sys

from ffi_ext.legacy.old_names import OF_NUMPY, OF_TRANSFORMS
from ffi_ext.legacy.patches import give, lend


def old_torch(torch) -> None:  # type: ignore[no-untyped-def]
    from ffi_ext.legacy import old_torch

    old_torch.bring_back(give)


def old_lua(serialization) -> None:  # type: ignore[no-untyped-def]
    """load_lua, which programs import that need it for one of their losses alone, or not at all, as MUNIT."""

    def load_lua(filename, *args, **kwargs):  # type: ignore[no-untyped-def]
        raise RuntimeError(
            f"torch reads no files of Lua's Torch since 1.0, such as {filename}: pip install torchfile, whose load() "
            "gives their tensors as arrays"
        )

    lend(serialization, {"load_lua": load_lua})


def old_numpy(numpy) -> None:  # type: ignore[no-untyped-def]
    import math

    names = {"math": math, "numpy": numpy}
    gone = {name: now for name, now in OF_NUMPY.items() if name not in vars(numpy)}
    lend(numpy, {name: eval(now, names) for name, now in gone.items()})
    original = numpy.fromstring

    def fromstring(string, dtype=float, count=-1, sep="", *, like=None):  # type: ignore[no-untyped-def]
        """Bytes as numbers, too, as readers of LMDB have it until NumPy 2.3."""
        if sep:
            return original(string, dtype, count, sep=sep, like=like)
        string = string.encode("latin1") if isinstance(string, str) else string
        return numpy.frombuffer(string, dtype, count).copy()

    give(numpy, "fromstring", fromstring)


def old_choices(random) -> None:  # type: ignore[no-untyped-def]
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

    give(random, "choice", choice)


def old_torchvision(transforms) -> None:  # type: ignore[no-untyped-def]
    """The names of two transforms until torchvision 0.2, and what Normalize took."""
    new = {old: getattr(transforms, name) for old, name in OF_TRANSFORMS.items()}
    lend(transforms, new)
    lend(getattr(transforms, "transforms", transforms), new)  # no package in 0.1
    functional = sys.modules.get(f"{transforms.__name__}.functional")
    if functional is None:
        return
    original = functional.normalize

    def normalize(tensor, mean, std, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Of a grey image by three means, too, as GANs of digits have it: zip() took as many as there are channels."""
        shape: tuple[int, ...] = getattr(tensor, "shape", ())
        if len(shape) > 2 and isinstance(mean, (list, tuple)):
            mean, std = mean[: shape[-3]], std[: shape[-3]]
        return original(tensor, mean, std, *args, **kwargs)

    give(functional, "normalize", normalize)


def old_grids(utils) -> None:  # type: ignore[no-untyped-def]
    """`save_image(x, path, range=(-1, 1))`, by torchvision's name of then."""
    original = utils.make_grid

    def make_grid(*args, **kwargs):  # type: ignore[no-untyped-def]
        if "range" in kwargs:
            kwargs["value_range"] = kwargs.pop("range")
        return original(*args, **kwargs)

    give(utils, "make_grid", make_grid)


def old_datasets(datasets) -> None:  # type: ignore[no-untyped-def]
    """CIFAR's images and labels by their names until torchvision 0.2: `train_set.train_labels`."""
    for name, old in (("data", "data"), ("targets", "labels")):

        def of(self, name=name):  # type: ignore[no-untyped-def]
            return getattr(self, name)

        def to(self, value, name=name):  # type: ignore[no-untyped-def]
            setattr(self, name, value)

        lend(datasets.CIFAR10, {f"{part}_{old}": property(of, to) for part in ("train", "test")})


def old_models(models) -> None:  # type: ignore[no-untyped-def]
    """`from torchvision.models.resnet import model_urls`, by which copies of the nets load weights until 0.13."""
    for name in ("alexnet", "densenet", "resnet", "squeezenet", "vgg"):
        module = sys.modules[f"{models.__name__}.{name}"]
        weights = {k[:-8].lower(): w for k, w in vars(module).items() if k.endswith("_Weights")}
        urls = {net: of_net.IMAGENET1K_V1.url for net, of_net in weights.items()}
        lend(module, {"model_urls": urls})


def old_pil(Image) -> None:  # type: ignore[no-untyped-def]
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

    give(Image.Image, "resize", resize)
    lend(Image, {"ANTIALIAS": Image.LANCZOS})


def old_drawings(ImageDraw) -> None:  # type: ignore[no-untyped-def]
    """`font.getsize(text)` and `draw.textsize(text, font)`, by which detectors draw their boxes until Pillow 10."""
    from PIL import ImageFont

    def getsize(self, text, *args, **kwargs):  # type: ignore[no-untyped-def]
        return tuple(self.getbbox(text, *args, **kwargs)[2:])

    def textsize(self, text, font=None, *args, **kwargs):  # type: ignore[no-untyped-def]
        return tuple(self.textbbox((0, 0), text, font, None, *args, **kwargs)[2:])

    for font in (ImageFont.FreeTypeFont, ImageFont.ImageFont):
        lend(font, {"getsize": getsize})
    lend(ImageDraw.ImageDraw, {"textsize": textsize})


def old_scipy(misc) -> None:  # type: ignore[no-untyped-def]
    """`from scipy.misc import imread, imresize`, as detectors and flow networks read their images until SciPy 1.2."""
    from ffi_ext.legacy import old_images

    lend(misc, old_images.IMAGES)


def old_python(inspect) -> None:  # type: ignore[no-untyped-def]
    """getargspec, which Python 3.11 has no more, and time.clock, which 3.8 has not."""
    import time
    from collections import namedtuple

    ArgSpec = namedtuple("ArgSpec", "args varargs keywords defaults")
    lend(time, {"clock": time.process_time})
    lend(inspect, {"getargspec": lambda f: ArgSpec(*inspect.getfullargspec(f)[:4])})


def old_collections() -> None:
    """Mapping, Sequence and their kin, which Python 3.10 has in collections.abc alone."""
    import collections.abc

    lend(collections, {name: getattr(collections.abc, name) for name in collections.abc.__all__})


def old_yaml(yaml) -> None:  # type: ignore[no-untyped-def]
    """`yaml.load(file)`, as every Faster R-CNN reads its configuration, until PyYAML 6 asked for a Loader."""
    original = yaml.load

    def load(stream, Loader=yaml.FullLoader):  # type: ignore[no-untyped-def]
        return original(stream, Loader)

    give(yaml, "load", load)


def old_async() -> None:
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

    lend(SourceFileLoader, {"get_code": get_code})


def called_build_extension(cpp_extension) -> None:  # type: ignore[no-untyped-def]
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

    give(cpp_extension, "BuildExtension", BuildExtension)


def old_setup(dist) -> None:  # type: ignore[no-untyped-def]
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

    give(dist.Distribution, "fetch_build_eggs", fetch_build_eggs)
