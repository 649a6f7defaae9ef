"""Harnesses that try to break the project; see docs/reliability.md."""
