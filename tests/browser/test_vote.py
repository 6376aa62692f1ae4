"""Votes in a real front end: by click, by key, in mid-battle, and what is saved then."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.notebook_page import vote

BATTLE = "%%arena --no-cache -m lab/small,lab/large -o battle\nWhere?"
WIDGET = "application/vnd.jupyter.widget-view+json"


def mimes(notebook, index):
    """What kinds of data a cell's outputs hold."""
    return {kind for output in notebook.outputs(index) for kind in output.get("data", {})}


@pytest.mark.parametrize("frontend", ["lab", "notebook7"])
def test_a_click_votes_and_leaves_no_widget(frontend, request, upstream, open_notebook):
    """The winner is marked, the buttons are gone, and the vote counts."""
    notebook = open_notebook(request.getfixturevalue(frontend), BATTLE, "%leaderboard")
    for text in ("Paris.", "In Paris, of course."):
        upstream.reply(text)
    notebook.run(1)
    assert WIDGET in mimes(notebook, 1)
    vote(notebook, 1, "2")
    assert mimes(notebook, 1) == {"text/html", "text/plain"}
    assert "winner" in notebook.text(1)
    notebook.run(2)
    assert "lab/large" in notebook.text(2)


def test_a_key_votes(lab, upstream, open_notebook):
    """Without the mouse: the field takes one key, and JupyterLab's own shortcuts stay out."""
    notebook = open_notebook(lab, BATTLE)
    for _ in range(2):
        upstream.reply("Paris.")
    notebook.run(1)
    notebook.area(1).get_by_role("textbox", name="Vote by key").focus()
    notebook.page.keyboard.press("x")
    expect(notebook.area(1).get_by_role("button")).to_have_count(0)
    assert "You voted for none" in notebook.text(1)
    assert notebook.cell(1).is_visible()


def test_an_early_vote_stops_the_losers(lab, upstream, open_notebook):
    """A click while both answer: the loser's connection closes, the one chosen goes on."""
    notebook = open_notebook(lab, BATTLE)
    for _ in range(2):
        upstream.reply("Paris is the capital.", hold=4)
    notebook.start(1)
    expect(notebook.area(1).get_by_text("Paris is")).to_have_count(2)
    notebook.area(1).get_by_role("button", name="1", exact=True).click()
    upstream.wait_until_hung_up()
    upstream.release()
    notebook.finish(1)
    expect(notebook.area(1).get_by_role("button")).to_have_count(0)
    assert "Paris is the capital." in notebook.text(1)
    assert "stopped" in notebook.text(1)
    assert "You voted for 1 lab/small" in notebook.text(1)


def test_one_contestant_can_be_stopped(lab, upstream, open_notebook):
    """The other one goes on to its end."""
    notebook = open_notebook(lab, BATTLE)
    for _ in range(2):
        upstream.reply("Paris is the capital.", hold=4)
    notebook.start(1)
    expect(notebook.area(1).get_by_text("Paris is")).to_have_count(2)
    notebook.area(1).get_by_role("button", name="Stop 2").click()
    upstream.wait_until_hung_up()
    upstream.release()
    notebook.finish(1)
    assert notebook.text(1).count("Paris is the capital.") == 1
    assert "stopped" in notebook.text(1)
