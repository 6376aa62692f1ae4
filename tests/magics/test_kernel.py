"""The magics in a real kernel, before a real upstream."""

from __future__ import annotations

import re

import pytest

from tests.magics.lab import FIRST


def test_route_shows_the_answer_and_what_it_cost(book):
    """Model, reason, tokens, times, cost and savings stand under the answer; -o stores it."""
    cell = book.run("%%route --no-cache -m lab/small -o reply\nHello SAY **bold** words")
    assert cell.status == "ok", cell.block
    assert "<strong>bold</strong> words" in cell.html
    line = next(row for row in cell.plain.splitlines() if row.startswith("lab/small · "))
    assert line.startswith("lab/small · pinned · 12 → 5 tokens · first ")
    # 12 tokens at 1 dollar a million and 5 at 2.
    assert "$0.000022" in line
    # The baseline takes ten times that: 0.00022 dollars; 0.000198 of it was saved.
    assert "saved $0.00020 against large" in line
    assert (
        book.value("reply.text.strip(), reply.cost == reply.saved / 9")
        == "('**bold** words', True)"
    )


def test_a_dearer_answer_says_so(book):
    """Against a cheaper baseline the line names the loss."""
    book.run("import os; os.environ['SMARTROUTER_BASELINE'] = 'lab/small'")
    cell = book.run("%%route --no-cache -m lab/large\nHello")
    book.run("del os.environ['SMARTROUTER_BASELINE']")
    # 12 × 10 + 9 × 20 = 300 against 12 × 1 + 9 × 2 = 30 micro-dollars.
    assert "$0.00030" in cell.plain
    assert "dearer than small" in cell.plain


def test_the_router_chooses_and_explains(book):
    """Without -m the cheapest that clears the bar answers; --explain shows who lost and why."""
    cell = book.run("%%route --no-cache --policy cheap --explain\nSay hello")
    assert cell.status == "ok", cell.block
    assert "lab/small" in cell.plain.splitlines()[1]
    assert re.search(r"lab/large .*dearer", cell.plain)
    assert re.search(r"zhipu/glm-5\b.*key", cell.plain)


def test_braces_interpolate_and_double_braces_are_braces(book):
    """The upstream gets the values; dollars and maths are not touched."""
    book.run("n = 17; name = '{not again}'")
    cell = book.run("%%route --no-cache -m lab/small\n{n * 2:>4} {{n}} {name} $n $$x$$")
    assert cell.status == "ok", cell.block
    assert (
        book.upstream.bodies[-1]["messages"][-1]["content"].strip()
        == "  34 {n} {not again} $n $$x$$".strip()
    )


def test_dry_run_asks_nobody(book):
    """Candidates and price are shown, the upstream is not called, nothing is spent."""
    before = len(book.upstream.bodies)
    spent = book.run("%costs").plain
    cell = book.run("%%route --dry-run\nHello")
    assert cell.status == "ok", cell.block
    assert "lab/small" in cell.plain
    assert "$0.00" in cell.plain
    battle = book.run("%%arena -m lab/small,lab/large --dry-run\nHello")
    assert battle.status == "ok", battle.block
    assert "lab/large" in battle.plain
    assert len(book.upstream.bodies) == before
    assert book.run("%costs").plain == spent


def test_an_equal_cell_costs_nothing_again(book):
    """The second run is marked as cached; --no-cache asks again."""
    for options, calls in (("", 1), ("", 0), ("--no-cache", 1)):
        before = len(book.upstream.bodies)
        cell = book.run(f"%%route -m lab/small {options}\nOnce only")
        assert len(book.upstream.bodies) - before == calls
    assert "cached" not in cell.plain


def test_hostile_output_does_nothing(book):
    """No script, script link or image on a page, and no escape sequence anywhere."""
    cell = book.run("%%route --no-cache -m lab/small\nHOSTILE")
    assert cell.status == "ok", cell.block
    for _, drawn in cell.drawings:
        assert not re.search(r"<script|<img|href=\"javascript", drawn.get("text/html", ""))
        assert not re.search(r"\x1b|\x07", "".join(drawn.values()))


def test_half_a_character_does_not_break_the_cell(book):
    """A lone surrogate, which JSON can carry, is shown as a replacement."""
    cell = book.run("%%route --no-cache -m lab/small\nHALF")
    assert cell.status == "ok", cell.block
    assert "half \ufffd" in cell.plain


def test_thinking_is_folded(book):
    """Reasoning stands in a <details>, escaped."""
    cell = book.run("%%route --no-cache -m lab/small\nTHINK")
    assert "<details><summary>" in cell.html
    assert "Let me see &lt;b&gt;." in cell.html


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%route\n   \n", "The prompt is empty"),
        ("%%route\nHello {unknown_name}", "unknown_name"),
        ("%%route\nfirst\n  {n", "column 3"),
        ("%%route --polcy best\nHello", "--policy"),
        ("%%route -m lab/smal\nHello", "lab/small"),
        ("%%route --budget 0\nHello", "more than 0"),
        ("%%route --budget -1\nHello", "more than 0"),
        ("%%route --policy bst\nHello", "cheap, balanced, best, fast"),
        ("%%route --intent coed\nHello", "code"),
        ("%%route --think deep\nHello", "low"),
        ("%%route -t warm\nHello", "warm"),
        ("%%route --max-tokens 0\nHello", "at least 1"),
        ('%%route --system "open\nHello', "quot"),
        ("%%route --no-cache -m denied/one\nHello", "key"),
        ("%%arena -m lab/small\nHello", "2 to 8"),
        ("%%arena -g nowhere\nHello", "hybrid"),
        ("%%arena --converge magic\nHello", "consensus"),
        ("%smartrouter staus", "status"),
        ("%smartrouter vote", "battle"),
        ("%smartrouter vote nobattle 1", "nobattle"),
        ("%smartrouter why norun", "norun"),
        ("%costs --by colour", "model"),
        ("%costs --since soon", "7d"),
    ],
)
def test_bad_input_is_one_readable_block(book, cell, said):
    """The cell counts as failed; no traceback, no key, and what to do next is in the block."""
    output = book.run(cell)
    assert output.status == "error"
    assert said in output.block
    assert "Traceback" not in output.block
    assert 'File "' not in output.block
    assert "sk-secret" not in output.block
    assert len(output.block.splitlines()) <= 4


@pytest.mark.parametrize("name", ["2x", "a-b", "class", "a.b"])
def test_a_bad_variable_name_is_refused_before_anything_is_spent(book, name):
    """-o takes a Python name."""
    before = len(book.upstream.bodies)
    output = book.run(f"%%route --no-cache -m lab/small -o {name}\nHello")
    assert output.status == "error"
    assert len(book.upstream.bodies) == before


def test_a_failed_cell_stores_nothing(book):
    """-o keeps the old value where the call fails."""
    book.run("kept = 1")
    book.run("%%route --no-cache -m denied/one -o kept\nHello")
    assert book.value("kept") == "1"


def test_an_interrupt_cancels_upstream_and_keeps_what_has_arrived(book):
    """The stop button: the upstream call ends, the text stays, the cell fails in one block."""
    book.upstream.cancelled.clear()
    cell = book.run("%%route --no-cache -m lab/small -o never\nWAIT", interrupt_at=FIRST.strip())
    assert cell.status == "error"
    assert "Traceback" not in cell.block
    assert "stopped" in cell.block
    assert FIRST.strip() in cell.plain
    assert "stopped" in cell.plain
    assert book.upstream.cancelled.wait(10)
    assert "never" not in book.value("sorted(k for k in globals() if k == 'never')")
    assert book.run("%%route --no-cache -m lab/small\nAfterwards").status == "ok"


def test_an_interrupted_call_is_in_the_ledger(book):
    """What was used up to the interrupt is accounted for."""
    book.run("%costs --by outcome -o frame")
    assert "cancelled" in book.value("list(frame.key)")


def test_an_interrupted_battle_cancels_every_contestant(book):
    """One contestant has answered, the other hangs: its call ends, both texts stay."""
    book.upstream.cancelled.clear()
    cell = book.run("%%arena --no-cache -m lab/small,lab/large\nWAIT", interrupt_at=FIRST.strip())
    assert cell.status == "error"
    assert FIRST.strip() in cell.plain
    assert book.upstream.cancelled.wait(10)


def test_drawing_is_coalesced(book):
    """A long answer in many pieces is drawn at most ten times a second, the first at once."""
    words = " ".join(f"w{n}" for n in range(2_000))
    cell = book.run(f"%%route --no-cache -m lab/small\nSAY {words}")
    assert cell.status == "ok", cell.block
    times = [at for at, _ in cell.drawings]
    assert len(times) <= 12 * (times[-1] - times[0]) + 3
    assert "w1999" in cell.plain
    assert "mathjax_ignore" not in cell.html
    assert all("mathjax_ignore" in d["text/html"] for _, d in cell.drawings[:-1])


def test_a_battle_stands_side_by_side_and_is_voted_on(book):
    """Columns with cost, the vote's line, -o, votes by number, tie, none; the leaderboard."""
    cell = book.run("%%arena --no-cache -m lab/small,lab/large -o battle\nHello SAY same words")
    assert cell.status == "ok", cell.block
    assert cell.html.count("same words") >= 2
    assert "display: grid" in cell.html or "display:grid" in cell.html
    # 12 + 5 × 2 and 120 + 9 × 20 micro-dollars.
    assert book.value("str(battle.cost)") == "'0.000322000'"
    ident = book.value("battle.id").strip("'")
    assert f"%smartrouter vote {ident} 1|2|tie|none" in cell.plain
    for choice, winner in (("2", "lab/large"), ("tie", "tie"), ("1 clearer words", "lab/small")):
        voted = book.run(f"%smartrouter vote {ident} {choice}")
        assert voted.status == "ok", voted.block
        assert winner in voted.plain
    assert "1" in book.run("%leaderboard").plain
    expanded = book.run("%smartrouter vote {battle.id} 2")
    assert expanded.status == "ok", expanded.block


def test_a_quoted_reason_and_an_apostrophe_in_a_vote(book):
    """A reason is free text."""
    book.run("%%arena --no-cache -m lab/small,lab/large -o battle\nHello again")
    voted = book.run("%smartrouter vote {battle.id} 1 it's shorter")
    assert voted.status == "ok", voted.block


def test_a_blind_battle_hides_the_names_until_the_vote(book):
    """No model name on the screen; the vote tells who was who."""
    cell = book.run("%%arena --no-cache --blind -m lab/small,lab/large -o battle\nBlind SAY words")
    assert cell.status == "ok", cell.block
    for _, drawn in cell.drawings:
        assert "lab/" not in "".join(drawn.values())
    voted = book.run("%smartrouter vote {battle.id} 1")
    assert "lab/small" in voted.plain
    assert "lab/large" in voted.plain


def test_the_number_in_the_column_is_the_one_that_votes(book):
    """Also where the contestant that was named first cannot be called."""
    cell = book.run("%%arena --no-cache -m zhipu/glm-5,lab/small -o battle\nHello numbers")
    shown = dict(re.findall(r"^\[(\d)  (\S+?)\]", cell.plain, re.MULTILINE))
    for number, label in shown.items():
        assert (
            label in book.run(f"%smartrouter vote {{battle.id}} {number}").plain.partition(";")[0]
        )


def test_a_failed_contestant_does_not_disturb_the_other(book):
    """One wrong key: its column says why, the battle stands."""
    cell = book.run("%%arena --no-cache -m lab/small,zhipu/glm-5 -o battle\nHello")
    assert cell.status == "ok", cell.block
    assert "Fine." in cell.plain
    assert re.search(r"glm-5[\s\S]*key", cell.plain)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("What's the time", "What's the time"),
        ("What is the capital of France?", "What is the capital of France?"),
        ('Say "hi" twice', 'Say "hi" twice'),
        ("explain ls -l", "explain ls -l"),
    ],
)
def test_a_prompt_on_one_line_is_free_text(book, prompt, text):
    """Apostrophes, quotes and dashes behind the options reach the model as they are."""
    cell = book.run(f"%route --no-cache -m lab/small {prompt}")
    assert cell.status == "ok", cell.block
    assert book.upstream.bodies[-1]["messages"][-1]["content"] == text


def test_quoted_options(book):
    """Quotes hold a value together and do not reach the model."""
    cell = book.run('%%route --no-cache -m lab/small --system "Answer in one word"\nHello')
    assert cell.status == "ok", cell.block
    assert book.upstream.bodies[-1]["messages"][0] == {
        "role": "system",
        "content": "Answer in one word",
    }


def test_text_json_and_code(book):
    """--format decides how the answer is shown; -o holds the model's own words."""
    text = book.run("%%route --no-cache -m lab/small --format text\nSAY **x** <b>")
    assert "**x** &lt;b&gt;" in text.html
    js = book.run('%%route --no-cache -m lab/small --format json\nSAY {{"a":[1,2]}}')
    assert js.status == "ok", js.block
    assert '"a": [\n' in js.plain
    bad = book.run("%%route --no-cache -m lab/small --format json\nSAY no json")
    assert "not valid JSON" in bad.plain


@pytest.mark.parametrize("line", ["%smartrouter", "%smartrouter status", "%smartrouter models lab", "%smartrouter why",
                                  "%smartrouter budget", "%smartrouter sessions", "%smartrouter keys",
                                  "%smartrouter help", "%costs --by provider", "%costs --since 7d", "%leaderboard"])  # fmt: skip
def test_every_word_answers_without_a_secret(book, line):
    """Each shows something, none the key."""
    output = book.run(line)
    assert output.status == "ok", output.block
    assert output.plain.strip()
    assert "sk-secret" not in output.plain + output.html + output.streams


def test_the_notebook_is_named_in_the_ledger(book):
    """Spend is booked under the notebook's file name."""
    assert "lesson.ipynb" in book.run("%costs --by notebook").plain


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("%%route --pol", "--policy"),
        ("%%route --policy ba", "balanced"),
        ("%%route -m zhipu/glm-5", "zhipu/glm-5"),
        ("%%arena -m local/smollm2-135m,local/q", "local/qwen2.5-coder-0.5b"),
        ("%%arena -g fro", "frontier"),
        ("%%route --intent co", "code"),
        ("%%arena --converge sy", "synthesis"),
        ("%smartrouter vo", "vote"),
        ("%route --max-t", "--max-tokens"),
        ("%%route -m lab/sm", "lab/small"),
    ],
)
def test_tab_completes(book, code, offered):
    """Options, values and names; also the configuration's own models."""
    assert offered in book.complete(code)


def test_tab_in_the_prompt_is_left_alone(book):
    """The body is prose: the options are not offered there."""
    assert "--policy" not in book.complete("%%route\n--pol")


def test_loading_twice_is_harmless(book):
    """A second load registers nothing twice, and unloading takes the completion away."""
    assert book.run("%load_ext smartrouter_serve\n%reload_ext smartrouter_serve").status == "ok"
    assert book.complete("%%route --pol").count("--policy") == 1
    assert book.run("%unload_ext smartrouter_serve").status == "ok"
    assert "--policy" not in book.complete("%%route --pol")
    assert book.run("%load_ext smartrouter_serve").status == "ok"
    assert book.run("%%route --no-cache -m lab/small\nHello").status == "ok"
