"""The ledger file: how it is opened, its tables, and how an older one is brought forward.

Entries are appended and never updated. Every entry moves two sums, `held` and `spent`, in
nano-dollars; the money on hold and the money spent are the sums of these columns. `opened` is the
time of the hold that an entry belongs to: a settlement counts in the window of its hold.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from smartrouter_serve.errors import StoreError

MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = []
"""In order; the file's `user_version` is how many of them it has seen."""

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "fuse.sshfs", "9p"})
_PATIENCE = 10.0
"""Seconds to wait for another process that writes."""


def migration(step: Callable[[sqlite3.Connection], None]) -> Callable[[sqlite3.Connection], None]:
    """Add a step to the migrations."""
    MIGRATIONS.append(step)
    return step


@migration
def m001_initial(db: sqlite3.Connection) -> None:
    """Entries, battles and votes."""
    db.execute(
        """
        CREATE TABLE entries (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL CHECK (kind IN ('hold', 'settle', 'orphan', 'correction')),
            hold INTEGER,
            at REAL NOT NULL,
            opened REAL NOT NULL,
            owner TEXT NOT NULL DEFAULT '',
            run TEXT NOT NULL,
            lane TEXT NOT NULL,
            model TEXT NOT NULL,
            provider TEXT NOT NULL,
            project TEXT NOT NULL,
            user TEXT NOT NULL,
            notebook TEXT NOT NULL,
            held INTEGER NOT NULL,
            spent INTEGER NOT NULL,
            price_known INTEGER NOT NULL DEFAULT 1,
            outcome TEXT,
            intent TEXT,
            policy TEXT,
            input_tokens INTEGER NOT NULL DEFAULT 0,
            output_tokens INTEGER NOT NULL DEFAULT 0,
            cached_tokens INTEGER NOT NULL DEFAULT 0,
            cache_write_tokens INTEGER NOT NULL DEFAULT 0,
            reasoning_tokens INTEGER NOT NULL DEFAULT 0,
            estimated INTEGER NOT NULL DEFAULT 0,
            baseline TEXT,
            baseline_nanos INTEGER,
            latency REAL,
            first_token REAL,
            price_source TEXT
        )
        """
    )
    db.execute("CREATE INDEX entries_opened ON entries (opened)")
    db.execute("CREATE INDEX entries_hold ON entries (hold) WHERE hold IS NOT NULL")
    db.execute("CREATE TABLE battles (id TEXT PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL)")
    db.execute(
        """
        CREATE TABLE votes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            battle TEXT NOT NULL REFERENCES battles (id),
            winner TEXT NOT NULL,
            reason TEXT NOT NULL
        )
        """
    )


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or make it; transactions are begun by hand.

    Raises `StoreError` for what is damaged, newer than this version, or not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE)
    except (OSError, sqlite3.Error) as error:
        raise explain(error, path) from error
    try:
        db.row_factory = sqlite3.Row
        _write_ahead(db)
        db.execute("PRAGMA synchronous = FULL")
        # A log that is written over again is synced in half the time of one that grows.
        db.execute("PRAGMA wal_autocheckpoint = 100")
        migrate(db, path)
    except sqlite3.Error as error:
        db.close()
        raise explain(error, path) from error
    except StoreError:
        db.close()
        raise
    return db


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; SQLite's own time-out does not cover this statement."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file forward, each step in a transaction of its own."""
    db.execute("BEGIN IMMEDIATE")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        db.execute("ROLLBACK")
        raise StoreError(
            f"The ledger {path} has format {version}, but this version knows {len(MIGRATIONS)}.",
            "Update Smart Router, or point SMARTROUTER_HOME at another folder.",
        )
    for number, step in enumerate(MIGRATIONS[version:], version + 1):
        step(db)
        db.execute(f"PRAGMA user_version = {number}")
    db.execute("COMMIT")


def explain(error: Exception, path: Path) -> StoreError:
    """One line for a fault of the file, with the way out."""
    text = str(error)
    if "malformed" in text or "not a database" in text:
        remedy = "Move it away (a new one is made) and keep the copy: it holds what was spent."
    elif "full" in text:
        remedy = "Free some disk space; nothing that was booked is lost."
    elif "locked" in text:
        remedy = "Another program holds it: close that, then try again."
    else:
        remedy = "Check the folder's rights, or point SMARTROUTER_HOME at another one."
    return StoreError(f"The ledger {path} cannot be used: {text}.", remedy)


def network_file_system(path: Path) -> str:
    """The kind of network file system that `path` is on; empty on a local disk.

    SQLite's write-ahead log needs shared memory, which network file systems lack.
    """
    import psutil

    places = sorted(
        psutil.disk_partitions(all=True), key=lambda place: len(place.mountpoint), reverse=True
    )
    target = path.resolve()
    found = next((place for place in places if target.is_relative_to(place.mountpoint)), None)
    return found.fstype if found and found.fstype.lower() in _NETWORK else ""
