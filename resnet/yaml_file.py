"""YAML files as maskrcnn-benchmark's configurations are written."""

from __future__ import annotations

import reprlib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

# Aliases of aliases make a few lines into values whose text no memory holds.
_shortened = reprlib.Repr()
_shortened.maxlevel = 2
_shortened.maxdict = _shortened.maxlist = _shortened.maxtuple = 10
_shortened.maxstring = _shortened.maxother = 200


def shown(value: Any) -> str:
    """A value of a file for an error."""
    return _shortened.repr(value)


def _add(section: dict[Any, Any], key: Any, value: Any, line: int, name: str) -> None:
    """Set a key of a section, or add a section's keys to those that it has there already.

    Raises:
        ValueError: the key is set already.
    """
    before = section.get(key)
    if isinstance(before, dict) and isinstance(value, dict):
        section[key] = dict(before)  # the same may stand elsewhere, by an alias
        for below, part in value.items():
            _add(section[key], below, part, line, f"{name}.{below}")
    elif key in section:
        raise ValueError(f"line {line}: {name} stands there twice")
    else:
        section[key] = value


def read_yaml(path: Path) -> Any:
    """A YAML file's values. A section that stands there twice is one with the keys of both.

    `<<: *other` takes over the keys of another section that this one does not have.

    Raises:
        ValueError: it is no YAML, or a key of one section stands there twice.
    """
    import yaml  # the one place that needs PyYAML

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            result: dict[Any, Any] = {}
            taken_over: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                line = key_node.start_mark.line + 1
                value = self.construct_object(value_node, deep=True)
                if key_node.tag == "tag:yaml.org,2002:merge":
                    for section in value if isinstance(value, list) else [value]:
                        if not isinstance(section, dict):
                            raise ValueError(
                                f"line {line}: expected a section with keys behind <<, got {shown(section)}"
                            )
                        taken_over = {**section, **taken_over}  # of several the first counts
                    continue
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, Hashable):
                    raise ValueError(f"line {line}: expected a name as key, got {shown(key)}")
                _add(result, key, value, line, str(key))
            return {**taken_over, **result}

    Loader.add_constructor(
        "tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node)
    )
    try:
        return yaml.load(path.read_bytes(), Loader) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"expected YAML, got: {error}") from error
