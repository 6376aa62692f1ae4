"""`%%route` and `%costs` in real front ends: while it streams, saved, reopened, exported."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import nbformat
import papermill
import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import export
from tests.browser.lab import LOAD, new_context
from tests.browser.notebook_page import NotebookPage, vote

ANSWER = "Paris is **the** capital of France.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
ROUTE = "%%route --no-cache -m lab/small\nWhere?"
BATTLE = "%%arena --no-cache -m lab/small,lab/large\nWhere?"
COSTS = "%costs"
SAME = "The same words."
SHOWN = (1, 2, 3)
"""The cells that show something."""


def squeezed(text: str) -> str:
    """The words alone: front ends differ in the space between them."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("frontend", ["lab", "notebook7"])
def test_the_answer_is_visible_while_it_streams_and_after(
    frontend, request, upstream, open_notebook
):
    """The first words stand on the page before the upstream has sent the rest."""
    notebook = open_notebook(request.getfixturevalue(frontend), ROUTE)
    upstream.reply(ANSWER, hold=3)
    notebook.start(1)
    expect(notebook.area(1)).to_contain_text("Paris is")
    expect(notebook.area(1)).not_to_contain_text("France")
    upstream.release()
    [output] = notebook.finish(1)
    assert set(output["data"]) == {"text/html", "text/plain"}
    expect(notebook.area(1)).to_contain_text("capital of France")
    expect(notebook.area(1).locator("strong", has_text="the")).to_be_visible()
    expect(notebook.area(1).get_by_role("cell", name="2")).to_be_visible()
    expect(notebook.area(1)).to_contain_text("lab/small")


@dataclass(frozen=True)
class Saved:
    """A notebook of an answer, a battle and the costs, run and saved."""

    name: str
    file: Any
    shown: list[str]
    """The words of its three outputs."""


@pytest.fixture(scope="module")
def saved(lab, browser, scripted_upstream) -> Saved:
    """Run and save it once; each test reads it."""
    scripted_upstream.reset()
    lab.write("saved.ipynb", LOAD, ROUTE, BATTLE, COSTS)
    for text in (ANSWER, SAME, SAME):
        scripted_upstream.reply(text)
    with new_context(browser) as context:
        notebook = NotebookPage(context.new_page(), lab, "saved.ipynb")
        notebook.open()
        for index in range(4):
            notebook.run(index)
        vote(notebook, 2, "1")
        notebook.save()
        shown = [squeezed(notebook.text(index)) for index in SHOWN]
        lab.shut_down_kernels()
    return Saved("saved.ipynb", lab.read("saved.ipynb"), shown)


def test_the_saved_file_holds_no_widget(saved):
    """HTML and plain text alone are saved."""
    nbformat.validate(saved.file)
    for index in SHOWN:
        assert saved.file.cells[index].outputs
        for output in saved.file.cells[index].outputs:
            assert set(output["data"]) <= {"text/html", "text/plain"}


def test_a_reopened_notebook_shows_the_same(saved, lab, context):
    """With a new kernel, which knows nothing of the old one."""
    notebook = NotebookPage(context.new_page(), lab, saved.name)
    notebook.open()
    assert notebook.trusted(1)
    assert [squeezed(notebook.text(index)) for index in SHOWN] == saved.shown
    lab.shut_down_kernels()


@pytest.mark.parametrize("frontend", ["lab", "notebook7"])
def test_a_stranger_s_notebook_without_a_kernel_shows_the_same(saved, frontend, request, context):
    """A file that nobody signed is sanitised by the front end: words, table and grid stay."""
    server = request.getfixturevalue(frontend)
    file = deepcopy(saved.file)
    file.metadata.clear()  # with a language, the front end would start a kernel for that
    file.metadata["kernelspec"] = {"name": "elsewhere", "display_name": "Elsewhere"}
    nbformat.write(file, server.root / "elsewhere.ipynb")
    notebook = NotebookPage(context.new_page(), server, "elsewhere.ipynb")
    notebook.open(kernel=False)
    assert not notebook.trusted(1)
    assert [squeezed(notebook.text(index)) for index in SHOWN] == saved.shown
    first, second = notebook.area(2).get_by_text(SAME).all()[:2]
    # The winner's border is a little thicker.
    assert first.bounding_box()["y"] == pytest.approx(second.bounding_box()["y"], abs=5)
    assert first.bounding_box()["x"] + 100 < second.bounding_box()["x"], "side by side no more"
    expect(notebook.area(1).get_by_role("cell", name="2")).to_be_visible()


def test_dollar_signs_are_money(saved):
    """The cost line is not typeset as maths."""
    assert "$0.00011·saved$0.00097" in saved.shown[0]


def test_an_export_shows_the_same(saved, lab, context):
    """nbconvert's HTML holds the same words."""
    export(lab.root / saved.name)
    page = context.new_page()
    page.goto((lab.root / saved.name).with_suffix(".html").as_uri())
    for index, text in zip(SHOWN, saved.shown, strict=True):
        area = page.locator(".jp-Cell").nth(index).locator(".jp-Cell-outputArea")
        assert squeezed(area.inner_text()) == squeezed(text)


def test_papermill_executes(kernel_environment, upstream, tmp_path):
    """A parameter reaches the prompt; the saved answer has no widget."""
    upstream.reply(ANSWER)
    parameters = nbformat.v4.new_code_cell("city = 'nowhere'", metadata={"tags": ["parameters"]})
    cells = [parameters, *map(nbformat.v4.new_code_cell, (LOAD, f"{ROUTE} {{city}}"))]
    python = {"name": "python3", "display_name": "python3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": python}),
        tmp_path / "in.ipynb",
    )
    done = papermill.execute_notebook(
        str(tmp_path / "in.ipynb"),
        str(tmp_path / "out.ipynb"),
        parameters={"city": "Lyon"},
        progress_bar=False,
    )
    assert "Lyon" in str(upstream.server.sent["messages"])
    [output] = done.cells[-1].outputs
    assert set(output["data"]) == {"text/html", "text/plain"}


@pytest.mark.model
def test_the_real_local_model_answers_in_the_browser(local_models, open_notebook):
    """No script, no upstream: llama.cpp's own words, free of charge."""
    notebook = open_notebook(
        local_models, "%%route --no-cache -m local/smollm2-135m --max-tokens 12\nSay hello."
    )
    notebook.run(1)
    expect(notebook.area(1)).to_contain_text("local/smollm2-135m")
    expect(notebook.area(1)).to_contain_text("free")
