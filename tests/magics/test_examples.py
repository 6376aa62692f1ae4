"""The notebooks of `examples/`: clean as stored, and run from top to bottom on the local models."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
SMOL, QWEN = "local/smollm2-135m", "local/qwen2.5-coder-0.5b"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_an_example_is_stored_clean(name):
    """Valid, no outputs, no counts, no key, no path of a machine; it begins with words."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(notebook)
    assert not re.search(r"sk-|/home/|/work/|/root/|/tmp/", json.dumps(notebook))
    assert notebook.cells[0].cell_type == "markdown"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert code[0].source == "%load_ext smartrouter_serve"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run an example on the two local models; answers each code cell's source and text."""
    home = os.environ.get("SMARTROUTER_TEST_MODELS")
    if not home:
        pytest.skip("SMARTROUTER_TEST_MODELS names a home with the two small models")
    place = tmp_path / "home"
    (place / "models").mkdir(parents=True)
    for file in (Path(home) / "models").glob("*.gguf"):
        (place / "models" / file.name).symlink_to(file)
    monkeypatch.setenv("SMARTROUTER_HOME", str(place))
    monkeypatch.setenv("SMARTROUTER_KEYRING", "off")

    def all_cells(name: str) -> list[tuple[str, str]]:
        notebook = nbformat.read(FOLDER / name, as_version=4)
        where = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
        return [(cell.source, _text(cell)) for cell in notebook.cells if cell.cell_type == "code"]

    return all_cells


def _text(cell) -> str:
    """What a cell left on the screen."""
    return "\n".join(
        "".join(output.get("data", {}).get("text/plain", "")) + output.get("text", "")
        for output in cell.outputs
    )


@pytest.mark.model
@pytest.mark.timeout(900)
def test_first_steps_teaches_the_first_steps(run):
    """Answers by both models, a dry run that costs nothing, a vote, reasons and sums."""
    told = run("first_steps.ipynb")
    answers = [text for source, text in told if source.startswith("%%route") and "$0" in text]
    assert len(answers) >= 5
    assert re.search(rf"{SMOL} · pinned · \d+ → \d+ tokens", "\n".join(answers))
    [battle] = [text for source, text in told if source.startswith("%%arena")]
    assert SMOL in battle
    assert QWEN in battle
    said = dict(told)
    assert "tokens, 0.0000 dollars" in "".join(t for s, t in told if s.startswith("print"))
    assert f"Voted for {QWEN}" in "".join(t for s, t in told if "vote" in s)
    assert re.search(rf"{QWEN} +\d+ +1–0", said["%leaderboard"])
    assert "local" in said["%smartrouter"]
    assert "$0 spent" in said["%costs"]
    assert "%%route --policy cheap" in said["%smartrouter help"]


@pytest.mark.model
@pytest.mark.timeout(900)
def test_the_battles_of_the_arena_notebook(run):
    """Four battles of two, one of them blind; three votes; a verdict; nothing was spent."""
    told = run("arena.ipynb")
    battles = [
        text for source, text in told if source.startswith("%%arena") and "--dry" not in source
    ]
    assert len(battles) == 4
    assert all(re.search(r"\[1\b", text) and re.search(r"\[2\b", text) for text in battles)
    blind = next(text for source, text in told if "--blind" in source)
    assert f"{SMOL} ★ winner" in blind, "the vote in a later cell has told the names"
    votes = [text for source, text in told if source.startswith("%smartrouter vote")]
    assert [re.search(r"Voted for (\S+);", text)[1] for text in votes] == [QWEN, SMOL, "tie"]
    said = dict(told)
    assert said["print(agreed.verdict)"].startswith(("local/", "2 of 2"))
    assert len(re.findall(r"^local/.*\d–\d–\d", said["%leaderboard"], re.MULTILINE)) == 2
    assert "$0 spent" in said["%costs"]
