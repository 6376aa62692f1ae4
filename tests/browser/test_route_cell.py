"""`%%route` in real front ends: while it streams, saved, and reopened."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

ANSWER = "Paris is **the** capital of France.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
ROUTE = "%%route --no-cache -m lab/small\nWhere?"


@pytest.mark.parametrize("frontend", ["lab", "notebook7"])
def test_the_answer_is_visible_while_it_streams_and_after(
    frontend, request, upstream, open_notebook
):
    """The first words stand on the page before the upstream has sent the rest."""
    notebook = open_notebook(request.getfixturevalue(frontend), ROUTE)
    upstream.reply(ANSWER, hold=4)
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
