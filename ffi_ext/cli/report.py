"""What `ffi-ext doctor` finds, of the machine and of a repository."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Report:
    """Facts, what will fail (with the cure), and what is repaired on the way or worth knowing."""

    machine: dict[str, str] = field(default_factory=dict)
    extensions: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
