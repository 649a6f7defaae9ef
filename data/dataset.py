"""The Dataset base class: it checks that a class keeps DataLoader's contract when it is used."""

from __future__ import annotations

from typing import Any

import torch.utils.data

# What a dataset must define, and how: the lines stand in the error as they are here.
CONTRACT = {
    "__init__": """\
    def __init__(self, folder):
        self.paths = sorted(Path(folder).iterdir())  # what there is; open nothing yet""",
    "__getitem__": """\
    def __getitem__(self, index):
        return read(self.paths[index])               # the sample, 0 <= index < len(self)""",
    "__len__": """\
    def __len__(self):
        return len(self.paths)                       # how many samples there are""",
}


def missing_methods(cls: type) -> list[str]:
    """The methods of the contract that neither cls nor a base of it below `Dataset` defines."""
    own = cls.__mro__[: cls.__mro__.index(Dataset)]
    return [name for name in CONTRACT if not any(name in base.__dict__ for base in own)]


class Dataset(torch.utils.data.Dataset[Any]):
    """A map-style dataset: subclasses define `__init__`, `__getitem__` and `__len__`.

    torch's own base class finds a missing `__getitem__` only when a worker asks for the first
    sample, and a missing `__len__` only in the sampler; this one says so when the object is made.

    Raises:
        NotImplementedError: a method is missing; the text names it and shows how to write it.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Dataset:
        missing = missing_methods(cls)
        if missing:
            is_base = cls is Dataset
            subject = (
                "data.Dataset is a base class: subclass it"
                if is_base
                else f"{cls.__qualname__} is incomplete"
            )
            head = "MyDataset" if is_base else cls.__name__
            example = "\n\n".join(CONTRACT[name] for name in missing)
            raise NotImplementedError(
                f"{subject}. A dataset defines __init__, __getitem__ and __len__; "
                f"missing: {', '.join(missing)}. Write, for example:\n\n"
                f"class {head}(data.Dataset):\n{example}"
            )
        return super().__new__(cls)
