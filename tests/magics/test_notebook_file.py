"""Whole notebooks by nbclient: Run All, and what is saved."""

from __future__ import annotations

import contextlib
import json
import re

import nbclient
import nbformat
import pytest

from tests.magics.lab import configure, serving


@pytest.fixture(scope="module")
def upstream():
    """A local upstream."""
    with serving() as live:
        yield live


@pytest.fixture
def run_all(upstream, tmp_path, monkeypatch):
    """Run a notebook of these cells; answers it, whether it broke off or not."""
    for name, value in configure(tmp_path, upstream).items():
        monkeypatch.setenv(name, value)

    def run(*cells: str):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        client = nbclient.NotebookClient(notebook, timeout=60)
        with contextlib.suppress(nbclient.exceptions.CellExecutionError):
            client.execute()
        return notebook

    return run


def test_run_all_stops_at_a_failed_cell(run_all):
    """The cell after a refused one does not run; the block is saved as an error."""
    notebook = run_all("%load_ext smartrouter_serve", "%%route -m lab/smal\nHello", "after = 1")
    *shown, error = notebook.cells[1].outputs
    assert error.output_type == "error"
    assert "lab/small" in "\n".join(error.traceback)
    assert not any("…" in o["data"]["text/plain"] for o in shown), (
        "a state that is over stays saved"
    )
    assert notebook.cells[2].execution_count is None


def test_a_saved_answer_needs_no_kernel(run_all):
    """One output, HTML and plain text, no widget, valid as a notebook, no key in the file."""
    notebook = run_all("%load_ext smartrouter_serve", "%%route -m lab/small\nSAY **hello**")
    [output] = notebook.cells[1].outputs
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "<strong>hello</strong>" in output["data"]["text/html"]
    nbformat.validate(notebook)
    assert "sk-secret" not in json.dumps(notebook)


def test_a_saved_battle_has_its_vote_line(run_all):
    """After reopening a vote is still one line away."""
    notebook = run_all("%load_ext smartrouter_serve", "%%arena -m lab/small,lab/large\nHello")
    shown = notebook.cells[1].outputs[-1]["data"]["text/html"]
    assert re.search(r"%smartrouter vote \w{8} 1\|2\|tie\|none", shown)


def test_nobody_can_click_where_nbclient_runs_a_battle(run_all):
    """No button in the file, voted on or not: the word votes, and redraws the cell."""
    notebook = run_all(
        "%load_ext smartrouter_serve",
        "%%arena -m lab/small,lab/large -o battle\nHello",
        "%smartrouter vote {battle.id} 2 clearer",
    )
    assert "widget" not in json.dumps(notebook)
    [grid] = notebook.cells[1].outputs
    assert "2  lab/large ★ winner" in grid["data"]["text/html"]
    assert "Voted for lab/large" in notebook.cells[2].outputs[0]["data"]["text/plain"]
