"""The file itself: made, brought forward, damaged, newer than we are, on a network."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from smartrouter_serve.errors import StoreError
from smartrouter_serve.ledger.schema import MIGRATIONS, network_file_system
from tests.ledger.till import entry, hold, sums


async def test_the_file_is_made_on_first_use(open_ledger, path) -> None:
    """Its folder too; merely having a ledger makes neither."""
    ledger = open_ledger()
    assert not path.parent.exists()
    await ledger.reserve(hold(1))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_closed_ledger_opens_again(open_ledger, path) -> None:
    """Close, use, close, and close twice."""
    ledger = open_ledger()
    for cost in (1, 2):
        await ledger.settle(await ledger.reserve(hold(10)), entry(cost))
        await ledger.aclose()
        await ledger.aclose()
    assert sums(path) == (0, 3)


async def test_a_file_that_was_moved_away_is_not_written_to(open_ledger, path, tmp_path) -> None:
    """A new one is made in its place; moved back, it holds all that it held."""
    ledger = open_ledger()
    await ledger.settle(await ledger.reserve(hold(10)), entry(1))
    assert await ledger.check() == ""
    assert sums(path) == (0, 1)
    path.parent.rename(tmp_path / "away")
    await ledger.settle(await ledger.reserve(hold(10)), entry(2))
    assert await ledger.check() == ""
    assert sums(path) == (0, 2)
    path.parent.rename(tmp_path / "second")
    (tmp_path / "away").rename(path.parent)
    await ledger.settle(await ledger.reserve(hold(10)), entry(4))
    assert await ledger.check() == ""
    assert sums(path) == (0, 5)


async def test_a_newer_file_is_refused_and_left_as_it_is(open_ledger, path) -> None:
    """The line names both formats, the remedy says to update."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"format 99, .*Update Smart Router"):
        await open_ledger().reserve(hold(1))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)


@pytest.mark.parametrize("content", [b"This is not a database. " * 500, b"SQLite format 3\0junk"])
async def test_a_damaged_file_is_named_and_kept(open_ledger, path, content) -> None:
    """One line, the way out, and not a byte changed."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match="Move it away") as caught:
        await open_ledger().reserve(hold(1))
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


async def test_damage_in_the_middle_is_an_error_of_the_store(open_ledger, path) -> None:
    """Pages overwritten while the ledger was closed."""
    ledger = open_ledger()
    for _ in range(300):
        await ledger.settle(await ledger.reserve(hold(1)), entry(1))
    await ledger.aclose()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(StoreError, match="Move it away"):
        await open_ledger().usage("model", None)
    path.unlink()


async def test_a_place_that_cannot_be_written_is_named(open_ledger, path) -> None:
    """A file stands where the folder should be."""
    path.parent.write_text("in the way")
    with pytest.raises(StoreError, match="SMARTROUTER_HOME") as caught:
        await open_ledger().reserve(hold(1))
    assert str(path) in caught.value.message


async def test_a_fault_that_is_mended_needs_no_new_start(open_ledger, path) -> None:
    """The same ledger works once what stood in the way is gone."""
    path.parent.write_text("in the way")
    ledger = open_ledger()
    for _ in range(2):
        with pytest.raises(StoreError):
            await ledger.reserve(hold(1))
    path.parent.unlink()
    assert (await ledger.reserve(hold(5))).nanos == 5


class Place(NamedTuple):
    """A mount, as psutil tells it."""

    mountpoint: str
    fstype: str


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/mnt/team/ledger.sqlite", "nfs4"),
        ("/mnt/team2/ledger.sqlite", ""),
        ("/home/ada/ledger.sqlite", ""),
        ("/mnt/team/disk/ledger.sqlite", ""),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(monkeypatch, file, kind) -> None:
    """The innermost mount decides, and a folder beside it with a longer name is not on it."""
    places = [Place("/", "ext4"), Place("/mnt/team", "nfs4"), Place("/mnt/team/disk", "ext4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: places)
    monkeypatch.setattr(Path, "resolve", lambda self: self)
    assert network_file_system(Path(file)) == kind
