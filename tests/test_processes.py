"""Who owns what: processes told apart, whatever the clock does."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from smartrouter_serve.processes import lives, owner_id


def test_this_process_lives():
    """By its own name."""
    assert lives(owner_id())


def test_a_process_that_ended_does_not():
    """Its number alone is no proof."""
    code = "from smartrouter_serve.processes import owner_id; print(owner_id())"
    owner = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert not lives(owner)
    pid, created, since_boot = owner_id().split(":")
    assert not lives(f"{pid}:{float(created) - 60}:{float(since_boot) - 60}")


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_step_of_the_clock_kills_nobody(monkeypatch, step):
    """The machine's start seems to move with the clock; the time since then does not."""
    owner = owner_id()
    boot, created = psutil.boot_time(), psutil.Process().create_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + step)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: created + step)
    assert lives(owner)


@pytest.mark.parametrize("owner", ["", "x", "1:y", "999999999:1:1"])
def test_nonsense_does_not_live(owner):
    """A damaged name frees what it held."""
    assert not lives(owner)


def test_a_name_of_an_earlier_version_is_understood():
    """It has no seconds since the machine's start."""
    assert lives(owner_id().rpartition(":")[0])
