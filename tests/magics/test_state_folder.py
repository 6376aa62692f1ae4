"""The state folder in mid-session: gone, not a folder, locked, damaged, full."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import suppress

import pytest

from tests.magics.lab import notebook

ASK = "%%route --no-cache -m lab/small -o reply\nSAY fine"


@pytest.fixture
def book(tmp_path):
    """A kernel of its own, whose ledger holds one call and one battle."""
    with notebook(tmp_path) as live:
        assert live.run(ASK).status == "ok"
        assert live.run("%%arena -m lab/small,lab/large -o battle\nHello").status == "ok"
        yield live


@pytest.fixture
def home(tmp_path, home):
    """The kernel's state folder."""
    return tmp_path / "home"


def calls(home) -> int:
    """How many calls are settled in the ledger."""
    with sqlite3.connect(home / "ledger.sqlite") as db:
        return db.execute("SELECT count(*) FROM entries WHERE kind = 'settle'").fetchone()[0]


def refused(book, said: str, *cells: str) -> None:
    """Each cell fails in one block of at most two lines that says what to do."""
    for cell in cells:
        output = book.run(cell)
        assert output.status == "error", cell
        assert said in output.block
        assert len(output.block.splitlines()) == 2
        assert "Traceback" not in output.block


def works(book) -> None:
    """The next cell answers, and its money is in the ledger."""
    answered = book.run(ASK)
    assert answered.status == "ok", answered.block
    assert book.run("%costs").status == "ok"


def test_a_removed_folder_is_made_anew(book, home):
    """Nothing is written into a file that nobody can find again."""
    shutil.rmtree(home)
    works(book)
    assert calls(home) == 1
    assert (
        book.run(
            "await __import__('smartrouter_serve').Router().route('x', model='lab/small')"
        ).status
        == "ok"
    )
    voted = book.run("%smartrouter vote {battle.id} 1")
    assert voted.status == "error"
    assert "There is no battle" in voted.block
    assert len(voted.block.splitlines()) == 2


def test_a_file_in_place_of_the_folder(book, home, tmp_path):
    """Refused while it is there; with the folder back, all that was stored is there."""
    home.rename(tmp_path / "kept")
    home.write_text("in the way")
    refused(
        book, "cannot be used", ASK, "%costs", "%smartrouter vote {battle.id} 1", "%leaderboard"
    )
    home.unlink()
    (tmp_path / "kept").rename(home)
    works(book)
    assert book.run("%smartrouter vote {battle.id} 2").status == "ok"
    book.run("rows = __import__('smartrouter_serve').Router().sync.query('usage', by='outcome')")
    assert book.value("[(row['key'], row['calls']) for row in rows]") == "[('ok', 4)]"


def test_a_damaged_ledger(book, home, tmp_path):
    """Refused, with the way out; once it is moved away a new one is made, and the copy stays."""
    file = home / "ledger.sqlite"
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        (home / name).unlink(missing_ok=True)
    copy = tmp_path / "broken"
    copy.write_bytes(b"no database " * 5_000)
    copy.replace(file)
    refused(book, "not a database", ASK, "%costs", "%smartrouter vote {battle.id} 1")
    file.rename(tmp_path / "copy")
    works(book)


def test_a_ledger_that_another_program_holds(book, home):
    """Refused after some patience; then the cell works, and nothing is lost."""
    other = sqlite3.connect(home / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused(book, "locked", ASK)
    other.execute("ROLLBACK")
    other.close()
    works(book)
    assert calls(home) == 4


def test_a_full_disk(book, home):
    """No file may grow: refused; with room again the cell works, and what was stored is there."""
    before = calls(home)
    book.run(
        "import resource, os\n"
        "limits = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))"
    )
    refused(book, "cannot be used", ASK, "%smartrouter vote {battle.id} 1")
    book.run("resource.setrlimit(resource.RLIMIT_FSIZE, limits)")
    works(book)
    assert calls(home) == before + 1


@pytest.fixture
def mounted():
    """Mount something for as long as the test runs; needs the right to."""
    places = []

    def mount(*arguments) -> None:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("may not mount a file system here")
        places.append(arguments[-1])

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def test_a_folder_that_became_read_only(book, home, tmp_path, mounted):
    """What is stored can be read, nothing is spent; then the cell works again."""
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    mounted("--bind", copy, home)
    subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)
    refused(book, "readonly", ASK, "%smartrouter vote {battle.id} 1")
    assert "lab/small" in book.run("%costs").plain
    subprocess.run(["umount", "--lazy", home], check=True)
    works(book)
    assert calls(home) == 4


def test_a_disk_that_is_full(home, tmp_path, mounted):
    """Refused while there is no room; then all that was stored is there."""
    mounted("-t", "tmpfs", "-o", "size=400k", "tmpfs", home)
    with notebook(tmp_path) as book:
        assert book.run(ASK).status == "ok"
        stored = calls(home)
        with suppress(OSError), (home / "ballast").open("wb") as ballast:
            while True:
                ballast.write(bytes(1_000))
                ballast.flush()
        refused(book, "disk", ASK, ASK)
        (home / "ballast").unlink()
        works(book)
        assert calls(home) == stored + 1
