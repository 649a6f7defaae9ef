import os
from setuptools import setup, find_packages
import build

here = os.path.dirname(os.path.abspath(__file__))
setup(
    name="clamped",
    version="0.1",
    install_requires=["cffi>=1.0.0"],
    setup_requires=["cffi>=1.0.0"],
    packages=find_packages(exclude=["build"]),
    ext_package="",
    cffi_modules=[os.path.join(here, "build.py:ffi")],
)
