"""Many processes and threads that build, import and call at once: the harness, in short."""

from __future__ import annotations

from tests.test_reliability_build import harness


def test_a_crowd():
    report = harness("crowd", "--size", 4, "--rounds", 1)
    assert report["crowds"] == 11
