"""What a route cell shows, asks and leaves behind, in a real kernel."""

from __future__ import annotations

import re

import pytest

from tests.magics.lab import FIRST

NOTHING = "\n"


@pytest.fixture
def configured(book):
    """Put a line on top of the configuration for one test."""
    yield book.configure
    book.configure(NOTHING)


def test_a_busy_upstream_is_told_and_counted_down(book):
    """Waiting, then why it is tried again and how long that takes, then the answer."""
    cell = book.run("%%route --no-cache -m lab/small\nBUSY")
    assert cell.status == "ok", cell.block
    shown = "\n".join(drawn["text/plain"] for _, drawn in cell.drawings)
    assert "retrying lab/small in 2.0 s" in shown
    assert "2 s left" in shown
    assert "1 s left" in shown
    assert "Fine." in cell.plain
    assert "…" not in cell.plain
    # The seconds change once a second, and so does the picture.
    assert len(cell.drawings) <= 12


def test_one_output_that_grows(book):
    """Every drawing of a cell goes to one display."""
    cell = book.run("%%route --no-cache -m lab/small\nTHINK SAY some words that come in pieces")
    assert len(cell.shown) == 1


def test_thinking_is_counted_and_openable(book):
    """The provider's own count stands in the folded line."""
    cell = book.run("%%route --no-cache -m lab/small\nTHINK")
    assert re.search(r"<details><summary>thought for [\w. ]+ s, 3 tokens</summary>", cell.html)
    assert "(3 thinking)" in cell.plain


def test_a_tool_call_is_shown(book):
    """Name and arguments, joined from their pieces."""
    cell = book.run("%%route --no-cache -m lab/small\nTOOL")
    assert cell.status == "ok", cell.block
    assert 'weather({"in": "Paris"})' in cell.plain


def test_the_cost_line_can_be_found(book):
    """By its label, which also an untrusted notebook keeps in its text."""
    cell = book.run("%%route --no-cache -m lab/small\nHello")
    assert cell.html.count('role="note" aria-label="What this answer cost"') == 1


def test_code_goes_into_the_next_cell(book):
    """The Python of the last answer, cleaned, as a new cell that nobody has run."""
    prompt = "SAY ```bash\nls\n```\n```python\nx = 41 + 1\n```"
    cell = book.run(f"%%route --no-cache -m lab/small --format code -o reply\n{prompt}")
    assert cell.status == "ok", cell.block
    assert "%smartrouter insert" in cell.plain
    inserted = book.run("%smartrouter insert")
    assert inserted.status == "ok", inserted.block
    assert inserted.next_input == "x = 41 + 1"
    assert "x" not in book.value("[name for name in globals() if name == 'x']")
    book.run("%%route --no-cache -m lab/small\nSAY It is no code.")
    refused = book.run("%smartrouter insert")
    assert refused.status == "error"
    assert "no code" in refused.block


def test_a_dry_run_shows_the_interval_and_folds_who_is_out(book):
    """Expected cost, what nine of ten stay under, the most; and why the others are out."""
    cell = book.run("%%route --dry-run -m lab/small --max-tokens 100\nHello")
    assert "lab/small" in cell.plain.splitlines()[0]
    row = next(line for line in cell.plain.splitlines() if line.startswith("lab/small  "))
    cost, ninety, most = (float(x) for x in re.findall(r"\$([\d.]+)", row)[:3])
    assert 0 < cost <= ninety <= most
    # One token a byte of the prompt and its frame at 1 dollar a million, 100 tokens at 2.
    assert 0.0002 < most < 0.0004
    every = book.run("%%route --dry-run\nHello")
    assert re.search(r"<details><summary>\d+ excluded</summary>", every.html)
    assert re.search(r"zhipu/glm-5 and \d+ more +no key: set ZAI_API_KEY", every.plain)
    assert "zhipu/glm-5.1" in every.html


def test_a_dear_cell_asks_first(book, configured):
    """With the price and the limit; no, and the empty answer, send nothing; yes goes on."""
    configured("confirm_above = 0.0001\n")
    before = len(book.upstream.bodies)
    for answer in ("n", ""):
        refused = book.run("%%route --no-cache -m lab/large --max-tokens 50\nHello", answer=answer)
        assert refused.status == "error"
        assert "nothing was spent" in refused.block
    assert len(book.upstream.bodies) == before
    assert re.fullmatch(
        r"This may cost about \$0\.00\d+ \(limit \$0\.0001\)\. Go on\? \[y/N\] ", refused.question
    )
    agreed = book.run("%%route --no-cache -m lab/large --max-tokens 50\nHello", answer="y")
    assert agreed.status == "ok", agreed.block
    assert len(book.upstream.bodies) == before + 1


def test_where_nobody_can_answer_a_dear_cell_fails_with_the_ways_on(book, configured):
    """What it would cost, --yes, and the setting; --yes and a dry run need no answer."""
    configured("confirm_above = 0.0001\n")
    before = len(book.upstream.bodies)
    refused = book.run("%%route --no-cache -m lab/large\nHello")
    assert refused.status == "error"
    assert re.search(r"may cost about \$0\.00\d+, over confirm_above = 0\.0001", refused.block)
    assert "--yes" in refused.block
    assert "smartrouter.toml" in refused.block
    assert len(refused.block.splitlines()) == 2
    assert book.run("%%route --dry-run -m lab/large\nHello").status == "ok"
    assert len(book.upstream.bodies) == before
    assert book.run("%%route --yes --no-cache -m lab/large\nHello").status == "ok"
    assert len(book.upstream.bodies) == before + 1


def test_a_cheap_cell_is_not_asked_about(book, configured):
    """Under the limit nothing is in the way; an unknown price is not taken for cheap."""
    configured("confirm_above = 0.05\n")
    assert book.run("%%route --no-cache -m lab/small\nHello").status == "ok"
    unknown = book.run("%%route --no-cache -m denied/one\nHello")
    assert "an amount that is not known" in unknown.block


def test_a_battle_is_asked_about_as_a_whole(book, configured):
    """Each contestant is under the limit, their sum is not."""
    prices = {}
    for name in ("small", "large"):
        told = book.run(f"%%route --dry-run -m lab/{name} --max-tokens 50\nHello").plain
        row = next(line for line in told.splitlines() if line.startswith(f"lab/{name}  "))
        prices[name] = float(re.findall(r"\$([\d.]+)", row)[1])
    limit = prices["large"] + prices["small"] / 2
    configured(f"confirm_above = {limit:.7f}\n")
    assert book.run("%%route --no-cache -m lab/large --max-tokens 50\nHello").status == "ok"
    battle = book.run("%%arena --no-cache -m lab/small,lab/large --max-tokens 50\nHello")
    assert battle.status == "error"
    assert "--yes" in battle.block
    agreed = book.run(
        "%%arena --no-cache -m lab/small,lab/large --max-tokens 50\nHello", answer="y"
    )
    assert agreed.status == "ok", agreed.block


def test_a_wrong_limit_is_one_line(book, configured):
    """As every wrong key of the configuration."""
    configured("confirm_above = -1\n")
    cell = book.run("%%route --no-cache -m lab/small\nHello")
    assert cell.status == "error"
    assert "confirm_above = -1 is wrong" in cell.block


def test_the_rest_of_a_budget_is_told_once_it_runs_out(book, configured):
    """Nothing before four fifths; then what is left, by the ledger, of the budgets that count."""
    book.run("%costs --by model -o rows")
    spent = float(book.value("float(sum(rows[rows.iloc[:, 0] == 'lab/small'].cost))"))
    # This call costs 0.000022 dollars; after it ninety per cent are used.
    limit = (spent + 0.000022) / 0.9
    table = f'budgets = {{ mine = {{ limit = {limit:.9f}, hard = false, model = "lab/small" }} }}\n'
    configured(table)
    cell = book.run("%%route --no-cache -m lab/small\nHello")
    assert cell.status == "ok", cell.block
    line = next(row for row in cell.plain.splitlines() if row.startswith("lab/small · "))
    left = limit * 0.1
    shown = float(re.search(r"10 % of budget mine left: \$([\d.]+)$", line)[1])
    assert shown == pytest.approx(left, rel=0.05)
    assert cell.plain.count("budget") == 1
    assert "budget" not in book.run("%%route --no-cache -m lab/large\nHello").plain


def test_a_stopped_cell_names_what_was_used(book):
    """The ledger's own figures for the call; the next cell runs."""
    book.upstream.cancelled.clear()
    cell = book.run("%%route --no-cache -m lab/small\nWAIT", interrupt_at=FIRST.strip())
    assert cell.status == "error"
    found = re.search(
        r"stopped; (\d+) → (\d+) tokens, \$([\d.]+) used, as %costs has it", cell.plain
    )
    assert found, cell.plain
    sent, received, cost = int(found[1]), int(found[2]), float(found[3])
    assert sent > 0
    assert received > 0
    # 1 and 2 dollars a million tokens.
    assert cost == pytest.approx((sent + 2 * received) / 1e6)
    assert book.upstream.cancelled.wait(10)
    assert book.run("%%route --no-cache -m lab/small\nAfterwards").status == "ok"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%route\nHello\n%%arena\nfoo", "Line 3 begins a second magic, %%arena"),
        ("%%arena -m lab/small,lab/large\n%%route\nfoo", "Line 2 begins a second magic, %%route"),
        ("x = 1\n%%route\nHello there", "%%route stands on line 2"),
        ("# a comment\n\n%%arena -g local\nIt's so", "%%arena stands on line 3"),
        ("%%route\n{1 / 0 if True else n}", "ZeroDivisionError"),
    ],
)
def test_a_magic_in_the_wrong_place_is_one_readable_block(book, cell, said):
    """Two in a cell, or one in its middle: what is wrong and the way out; nothing was run."""
    before = len(book.upstream.bodies)
    output = book.run(cell)
    assert output.status == "error"
    assert said in output.block
    assert "Traceback" not in output.block
    assert len(output.block.splitlines()) == 2
    assert len(book.upstream.bodies) == before


def test_an_empty_cell_says_what_to_write(book):
    """IPython's own line, and ours where there is white space."""
    assert "cell body is empty" in book.run("%%route").streams
    assert "The prompt is empty" in book.run("%%route\n  \n").block


@pytest.mark.parametrize(
    "cell", ['text = """\n%%route\n"""', "%%writefile note.txt\n%%route\nHello", "%%time\n%%route --no-cache -m lab/small\nHi"]
)  # fmt: skip
def test_a_magics_name_in_other_text_is_left_alone(book, cell):
    """In a string, in a file to write, and under %%time."""
    output = book.run(cell)
    assert output.status == "ok", output.block
