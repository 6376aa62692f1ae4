"""Processes as owners of what outlives a call: who it is, and whether it still lives."""

from __future__ import annotations

import os

_APART = 1.0
"""Seconds by which two starts of the same process number differ at least."""


def owner_id() -> str:
    """Name this process, told apart from a later one that gets the same number."""
    return ":".join(map(str, (os.getpid(), *_starts(os.getpid()))))


def lives(owner: str) -> bool:
    """Whether the process that `owner_id` named still runs."""
    import psutil

    pid, *told = owner.split(":")
    try:
        if psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE:
            return False
        # A clock that is set forth or back moves one of the two, not both.
        pairs = zip(_starts(int(pid)), map(float, told), strict=False)
        return any(abs(now - then) < _APART for now, then in pairs)
    except (psutil.Error, ValueError):
        return False


def _starts(pid: int) -> tuple[float, float]:
    """When a process began: by the clock of the wall, and in seconds since the machine did."""
    import psutil

    created = psutil.Process(pid).create_time()
    return round(created, 2), round(created - psutil.boot_time(), 2)
