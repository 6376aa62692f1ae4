"""Before it costs: where a person can be asked, and where not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import nbclient
import nbformat
import pexpect
import pytest

from tests.magics.lab import configure, serving

CELL = "%route --no-cache -m lab/large --max-tokens 50 Hello"


@pytest.fixture
def dear(tmp_path, monkeypatch):
    """An upstream that is over the limit, and the environment for it."""
    with serving() as upstream:
        env = configure(tmp_path, upstream) | {"IPYTHONDIR": str(tmp_path / "ipython")}
        file = tmp_path / "smartrouter.toml"
        file.write_text("confirm_above = 0.0001\n" + file.read_text("utf-8"), "utf-8")
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield upstream


def test_run_all_fails_with_the_ways_on(dear):
    """nbclient, and with it papermill and nbconvert, has nobody who could answer."""
    cells = ["%load_ext smartrouter_serve", "%" + CELL.replace(" Hello", "\nHello"), "after = 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    with contextlib.suppress(nbclient.exceptions.CellExecutionError):
        nbclient.NotebookClient(notebook, timeout=60).execute()
    [error] = notebook.cells[1].outputs
    assert "--yes" in "\n".join(error.traceback)
    assert notebook.cells[2].execution_count is None
    assert dear.bodies == []


def test_a_pipe_is_not_asked(dear):
    """The next line of a script is no answer."""
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "-i"]
    script = f"%load_ext smartrouter_serve\n{CELL}\ny\n"
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert "nobody can be asked" in done.stdout + done.stderr
    assert dear.bodies == []


@pytest.mark.parametrize(("answer", "sent"), [("n", 0), ("y", 1)])
def test_a_terminal_is_asked(dear, answer, sent):
    """As a shell asks: y goes on, anything else does not."""
    arguments = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
    child = pexpect.spawn(
        sys.executable, arguments, env=dict(os.environ), encoding="utf-8", timeout=30
    )
    child.expect_exact("In [1]: ")
    child.sendline("%load_ext smartrouter_serve")
    child.expect_exact("In [2]: ")
    child.sendline(CELL)
    child.expect_exact("Go on? [y/N] ")
    child.sendline(answer)
    child.expect_exact("In [3]: ")
    assert ("Fine." in child.before) == bool(sent)
    assert "Traceback" not in child.before
    assert len(dear.bodies) == sent
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
