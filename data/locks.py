"""Locks that a process may fork beside, as DataLoader does for its workers."""

from __future__ import annotations

import os
import threading


def fork_safe_lock() -> threading.Lock:
    """A lock of a module, for short work, that a fork waits for and that its child finds open.

    A child would wait for ever for a thread that it does not have: data.Loader's are some.
    """
    lock = threading.Lock()
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )
    return lock
