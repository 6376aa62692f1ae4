"""The arena's buttons in a real kernel: clicks are sent as a front end sends them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from queue import Empty

import pytest

from tests.magics.lab import FIRST, PATIENCE, Notebook, Output, notebook

VIEW = "application/vnd.jupyter.widget-view+json"
WAIT = "%%arena --no-cache -m lab/small,lab/large -o battle\nWAIT"


@dataclass
class Page:
    """A front end that can click: it follows a cell's outputs and the widgets' state."""

    book: Notebook
    output: Output = field(default_factory=Output)
    widgets: dict[str, dict] = field(default_factory=dict)
    over: bool = False
    ident: str = ""

    def start(self, code: str) -> Page:
        self.output, self.over = Output(), False
        self.ident = self.book.client.execute(code)
        return self

    def _take(self, message: dict) -> None:
        content = message["content"]
        comm = content.get("comm_id")
        if message["msg_type"] == "comm_open":
            self.widgets[comm] = dict(content["data"]["state"])
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "update":
            self.widgets.setdefault(comm, {}).update(content["data"]["state"])
        elif message["msg_type"] == "comm_close":
            self.widgets.pop(comm, None)
        elif message["msg_type"] in ("display_data", "update_display_data"):
            self.output.take(message)
        elif message["parent_header"].get("msg_id") == self.ident:
            self.output.take(message)
            state = content.get("execution_state")
            self.over = self.over or (message["msg_type"] == "status" and state == "idle")

    def until(self, condition) -> Page:
        """Read until `condition` holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, (self.output.plain, self.output.block, self.buttons())
            try:
                self._take(self.book.client.get_iopub_msg(timeout=0.2))
            except Empty:
                continue
        return self

    def finish(self) -> Page:
        return self.until(lambda: self.over)

    def buttons(self) -> list[str]:
        """What can be clicked, in tab order."""
        return [
            state["description"]
            for state in self.widgets.values()
            if state["_model_name"] == "ButtonModel" and not state["disabled"]
        ]

    def shows(self, text: str) -> bool:
        return text in self.output.plain

    def _send(self, comm: str, data: dict) -> None:
        session = self.book.client.session
        message = session.msg("comm_msg", {"comm_id": comm, "data": data})
        self.book.client.shell_channel.send(message)

    def click(self, description: str) -> Page:
        comm = next(
            c for c, state in self.widgets.items() if state.get("description") == description
        )
        self._send(comm, {"method": "custom", "content": {"event": "click"}})
        return self

    def press(self, key: str) -> Page:
        comm = next(c for c, s in self.widgets.items() if s["_model_name"] == "TextModel")
        self._send(comm, {"method": "update", "state": {"value": key}, "buffer_paths": []})
        return self


@pytest.fixture
def page(book) -> Page:
    """A front end before the module's kernel."""
    book.upstream.goes_on.clear()
    return Page(book)


def test_a_click_in_mid_battle_ends_it(page):
    """The loser is closed upstream, the winner marked, what was saved told; no widget is left."""
    page.start("%%arena --no-cache -m lab/small,lab/large -o battle\nWAIT FOR 2")
    page.until(lambda: page.shows(FIRST.strip()) and "2" in page.buttons())
    assert page.buttons() == ["1", "2", "Tie", "None", "Stop 1", "Stop 2"]
    page.book.upstream.cancelled.clear()
    page.click("2").until(page.book.upstream.cancelled.is_set)
    assert not page.over, "the one that was voted for goes on"
    page.book.upstream.goes_on.set()
    page.finish()
    assert page.output.block == ""
    assert "[2  lab/large ★ winner]" in page.output.plain
    assert re.search(r"stopping 1 early saved about \$0\.000", page.output.plain)
    assert "You voted for 2  lab/large" in page.output.plain
    assert "your vote: 2  lab/large" in page.output.plain
    assert page.widgets == {}
    assert all(VIEW not in data for data in page.output.shown.values())
    assert page.book.value("battle.winner") == "'lab/large'"
    outcomes = page.book.value("[(c.label, c.reply is None) for c in battle.contestants]")
    assert outcomes == "[('lab/small', True), ('lab/large', False)]"
    assert page.book.run("1 + 1").plain == "2"


def test_stop_ends_one_and_lets_the_other_go_on(page):
    """`Stop 1` closes one upstream call; the battle ends with the other, and the vote is open."""
    page.start("%%arena --no-cache -m lab/small,lab/large -o battle\nWAIT FOR 2")
    page.until(lambda: page.shows(FIRST.strip()) and "Stop 1" in page.buttons())
    page.book.upstream.cancelled.clear()
    page.click("Stop 1").until(lambda: "Stop 1" not in page.buttons())
    assert page.book.upstream.cancelled.wait(10)
    assert page.buttons() == ["2", "Tie", "None", "Stop 2"]
    page.book.upstream.goes_on.set()
    page.finish()
    assert f"[1  lab/small]\n{FIRST}\nstopped · first" in page.output.plain
    assert "Which is best?" in page.output.html
    page.click("2").until(lambda: page.widgets == {})
    assert "[2  lab/large ★ winner]" in page.output.plain


@pytest.mark.parametrize(("key", "said"), [("2", "2  lab/large"), ("T", "tie"), ("x", "none")])
def test_keys_vote_after_the_battle(page, key, said):
    """A digit, t or x in the field; the page is static afterwards and says who won."""
    page.start("%%arena --no-cache -m lab/small,lab/large -o battle\nHello").finish()
    assert page.buttons()[:4] == ["1", "2", "Tie", "None"]
    page.press(key).until(lambda: page.widgets == {})
    assert f"You voted for {said}; it counts" in page.output.plain
    assert f"your vote: {said}" in page.output.plain
    assert ("★" in page.output.plain) == said.startswith("2")
    assert all(VIEW not in data for data in page.output.shown.values())


def test_a_key_that_means_nothing_is_told(page):
    """9 in a battle of two: the field is emptied and the keys are named."""
    page.start("%%arena --no-cache -m lab/small,lab/large\nHello").finish()
    page.press("9").until(lambda: "The keys are 1, 2, t, x." in str(page.widgets))
    text = next(s for s in page.widgets.values() if s["_model_name"] == "TextModel")
    assert text["value"] == ""
    page.click("Tie").until(lambda: page.widgets == {})


def test_the_word_redraws_the_cell_that_is_shown(page):
    """`%smartrouter vote` marks the winner above and takes the buttons away; twice replaces."""
    page.start("%%arena --no-cache --blind -m lab/small,lab/large -o battle\nHello").finish()
    assert "lab/" not in page.output.plain + page.output.html
    grid = page.output.shown
    page.start("%smartrouter vote 2").finish()
    page.until(lambda: page.widgets == {})
    drawn = "".join(data["text/plain"] for data in page.output.shown.values())
    assert "[2  lab/large ★ winner]" in drawn
    assert set(grid) < set(page.output.shown), "the cell's own outputs were updated"
    page.start("%smartrouter vote 1 on second thoughts").finish()
    drawn = page.output.plain
    assert "Voted for lab/small in place of lab/large" in drawn
    assert "[1  lab/small ★ winner]" in drawn


def test_a_failed_contestant_cannot_win(page):
    """Its button is off, its key is not taken, and the word says why."""
    page.start("%%arena --no-cache -m lab/small,denied/one -o battle\nHello").finish()
    assert "2" not in page.buttons()
    page.press("2").until(lambda: "The keys are 1, t, x." in str(page.widgets))
    refused = page.book.run("%smartrouter vote {battle.id} 2")
    assert refused.status == "error"
    assert "2 (denied/one) has no whole answer" in refused.block
    assert len(refused.block.splitlines()) == 2
    page.click("1").until(lambda: page.widgets == {})


def test_an_interrupt_leaves_no_buttons(page):
    """Upstream is closed, the text stays, columns are marked, the kernel is free at once."""
    page.start(WAIT).until(lambda: page.shows(FIRST.strip()) and "2" in page.buttons())
    page.book.upstream.cancelled.clear()
    page.book.manager.interrupt_kernel()
    page.finish()
    assert "stopped" in page.output.block
    assert "Traceback" not in page.output.block
    assert FIRST.strip() in page.output.plain
    assert page.output.plain.count("\nstopped · first") == 2
    assert page.widgets == {}
    assert all(VIEW not in data for data in page.output.shown.values())
    assert page.book.upstream.cancelled.wait(10)
    assert page.book.run("1 + 1").plain == "2"


def test_a_click_after_the_kernel_restarted_is_harmless(page):
    """The widget is unknown there: nothing is shown, nothing is counted, the kernel lives."""
    page._send("0" * 32, {"method": "custom", "content": {"event": "click"}})
    assert page.book.run("1 + 1").plain == "2"


def test_a_second_click_does_nothing(page):
    """A double click is one vote."""
    page.start("%%arena --no-cache -m lab/small,lab/large\nHello").finish()
    page.click("1").click("2").until(lambda: page.widgets == {})
    assert "[1  lab/small ★ winner]" in page.output.plain
    assert page.book.run("1 + 1").plain == "2"


def test_inside_another_magic_the_buttons_come_at_the_end(page):
    """`%%time` cannot await: the battle runs as before, and the vote is open afterwards."""
    page.start("%%time\n%%arena --no-cache -m lab/small,lab/large\nHello").finish()
    assert page.buttons()[:4] == ["1", "2", "Tie", "None"]
    page.click("None").until(lambda: page.widgets == {})


def test_unloading_takes_the_buttons_away(tmp_path):
    """No handle stays behind."""
    with notebook(tmp_path) as book:
        page = Page(book).start("%%arena --no-cache -m lab/small,lab/large\nHello").finish()
        assert page.buttons()
        page.start("%unload_ext smartrouter_serve").finish()
        page.until(lambda: page.widgets == {})
        assert all(VIEW not in data for data in page.output.shown.values())


def test_a_kernel_that_is_shut_down_leaves_no_dead_buttons(tmp_path):
    """Its last message takes the view off the page: the grid and the line to vote with stay."""
    with notebook(tmp_path) as book:
        page = Page(book).start("%%arena --no-cache -m lab/small,lab/large\nHello").finish()
        assert page.buttons()
        book.client.shutdown()
        page.until(lambda: page.widgets == {})
        assert all(VIEW not in data for data in page.output.shown.values())
        assert "%smartrouter vote" in page.output.plain
