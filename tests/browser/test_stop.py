"""The notebook's own stop button, in a real front end."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

ROUTE = "%%route --no-cache -m lab/small\nWhere?"
BATTLE = "%%arena --no-cache -m lab/small,lab/large\nWhere?"


@pytest.mark.parametrize("frontend", ["lab", "notebook7"])
@pytest.mark.parametrize(("cell", "lanes"), [(ROUTE, 1), (BATTLE, 2)])
def test_the_stop_button_ends_the_call_and_keeps_what_arrived(
    frontend, cell, lanes, request, upstream, open_notebook
):
    """The upstream connection closes, the text stays, the cell is marked, the next cell runs."""
    notebook = open_notebook(request.getfixturevalue(frontend), cell, ROUTE)
    for _ in range(lanes):
        upstream.reply("Paris is the capital.", hold=4)
    notebook.start(1)
    expect(notebook.area(1).get_by_text("Paris is")).to_have_count(lanes)
    notebook.interrupt()
    upstream.wait_until_hung_up()
    outputs = notebook.finish(1)
    assert "Paris is" in notebook.text(1)
    assert "stopped" in notebook.text(1)
    assert outputs[-1]["output_type"] == "error"
    assert "Traceback" not in notebook.text(1)
    upstream.reply("Afterwards.")
    notebook.run(2)
    assert "Afterwards." in notebook.text(2)
