"""One thread that owns the connection; jobs that wait at the same time share one commit."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from smartrouter_serve.errors import StoreError
from smartrouter_serve.ledger.schema import connect, explain

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
_MOST = 500
"""Jobs that one commit may carry."""
_LAZY = 0.02
"""Seconds that a job without hurry waits for one that has, to share its commit."""
_JOBS_OWN = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
"""Errors of one statement; every other one is of the file, and of all that wait for it."""
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


class _Job(NamedTuple):
    work: Work
    future: Future[Any]
    hurry: bool


class Writer:
    """Runs jobs in order, in transactions; a failed job rolls back alone.

    Reads go through the same queue, so they see every write that was queued before them.
    """

    def __init__(self, path: Path, opened: Work, lost: Callable[[], None]) -> None:
        self._path = path
        self._opened = opened
        self._lost = lost
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._before: threading.Thread | None = None
        self._connected = False
        self._lock = threading.Lock()
        _writers.add(self)

    def submit(self, work: Callable[[sqlite3.Connection], T], *, hurry: bool = True) -> Future[T]:
        """Queue `work`; its future is done once its transaction is on disk.

        Without `hurry` it may wait a moment for a job to share its commit with.
        """
        future: Future[T] = Future()
        with self._lock:
            self._start()
            self._jobs.put(_Job(work, future, hurry))
        return future

    @property
    def used(self) -> bool:
        """Whether the file could be opened, and may hold something of ours."""
        return self._connected

    def close(self) -> None:
        """Do what is queued, then close the file."""
        with self._lock:
            if self._thread is not None:
                self._jobs.put(None)
                self._before, self._thread = self._thread, None
            ending = self._before
        if ending is not None:
            ending.join()

    def _start(self) -> None:
        """Start the thread on first use; each has a queue of its own, so none takes another's."""
        if self._thread is None:
            self._jobs = queue.SimpleQueue()
            self._thread = threading.Thread(
                target=self._run,
                args=(self._jobs, self._before),
                name="smartrouter-ledger",
                daemon=True,
            )
            self._thread.start()

    def _pause(self) -> None:
        """Close the file and let nobody open it, until `_resume`."""
        while True:
            self.close()
            self._lock.acquire()
            if self._thread is None:
                return
            self._lock.release()

    def _resume(self) -> None:
        self._lost()
        self._before = None
        self._lock.release()

    def _run(self, jobs: queue.SimpleQueue[_Job | None], before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        db: sqlite3.Connection | None = None
        file: tuple[int, int] | None = None
        while True:
            batch, ending = _take(jobs)
            try:
                if db is not None and _identity(self._path) != file:
                    # SQLite would go on writing to a file that was moved away or removed.
                    db.close()
                    db = None
                    self._lost()
                if db is None:
                    db, file = self._open(), _identity(self._path)
                _transaction(db, batch)
            except Exception as error:  # noqa: BLE001 - else nobody would be answered again
                self._lost()
                reason = error if isinstance(error, StoreError) else explain(error, self._path)
                _fail(batch, reason)
            if ending:
                if db is not None:
                    db.close()
                self._connected = False
                return

    def _open(self) -> sqlite3.Connection:
        db = connect(self._path)
        opened: Future[Any] = Future()
        try:
            _transaction(db, [_Job(self._opened, opened, hurry=True)])
            opened.result()
            self._connected = True
        except BaseException:
            db.close()
            raise
        return db


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _take(jobs: queue.SimpleQueue[_Job | None]) -> tuple[list[_Job], bool]:
    """Wait for a job and take those that wait behind it; whether the end was among them."""
    batch: list[_Job] = []
    job = jobs.get()
    while job is not None:
        if job.future.set_running_or_notify_cancel():
            batch.append(job)
        if len(batch) >= _MOST:
            return batch, False
        try:
            hurry = any(waiting.hurry for waiting in batch)
            job = jobs.get_nowait() if hurry else jobs.get(timeout=_LAZY)
        except queue.Empty:
            return batch, False
    return batch, True


def _transaction(db: sqlite3.Connection, batch: list[_Job]) -> None:
    """Run a batch in one transaction and hand out the results after the commit."""
    if not batch:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_within_savepoint(db, job.work) for job in batch]
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    for job, (result, error) in zip(batch, outcomes, strict=True):
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)


def _within_savepoint(db: sqlite3.Connection, work: Work) -> tuple[Any, BaseException | None]:
    db.execute("SAVEPOINT job")
    try:
        return work(db), None
    except _JOBS_OWN as error:
        db.execute("ROLLBACK TO job")
        return None, StoreError(
            f"The ledger refused an entry: {error}.",
            "Please report this with what `smartrouter doctor` says.",
        )
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - the job's own error goes to the job's caller
        db.execute("ROLLBACK TO job")
        return None, error
    finally:
        if db.in_transaction:
            db.execute("RELEASE job")


def _fail(batch: list[_Job], error: StoreError) -> None:
    for job in batch:
        if not job.future.done():
            job.future.set_exception(error)


_paused: list[Writer] = []


def _before_fork() -> None:
    """Close every file: SQLite's own rule, since a child inherits what it believes it has locked.

    Else the parent, closing last as it thinks, deletes the log that the child still writes to.
    """
    _paused.extend(_writers)
    for writer in _paused:
        writer._pause()  # noqa: SLF001 - one module


def _after_fork() -> None:
    while _paused:
        _paused.pop()._resume()  # noqa: SLF001 - one module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
