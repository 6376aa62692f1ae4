"""What was spent and saved, as a picture, as text, as a table and as files."""

from __future__ import annotations

import csv
import re
import sys
from datetime import date, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrouter_serve.errors import UsageError
from smartrouter_serve.money import dollars, show
from smartrouter_serve.widgets import chart
from smartrouter_serve.widgets.costs import Costs
from smartrouter_serve.widgets.spending import ORIGINS, spending
from smartrouter_serve.widgets.width import cells

LAST = date(2026, 11, 24)
OPUS = "openrouter/anthropic/claude-opus-4.6"
EVIL = "]]></desc><script>alert(1)</script>'\"&\x1b[2J\u202e\ufffe\ud83d{x}"


def row(
    day=LAST,
    cost=1_000,
    saved=9_000,
    *,
    model="zhipu/glm-5",
    origin="chinese",
    calls=1,
    baseline=OPUS,
):
    """A row of the query `spending`; amounts in nano-dollars."""
    return {
        "key": str(day), "day": str(day), "model": model, "origin": origin, "baseline": baseline,
        "calls": calls, "failed": 0, "input_tokens": 12, "output_tokens": 5, "cached_tokens": 0,
        "reasoning_tokens": 0, "unknown_cost_calls": 0, "unconfirmed": "0", "cost": f"{dollars(cost):f}",
        "baseline_cost": None if saved is None else f"{dollars(cost + saved):f}",
        "saved": None if saved is None else f"{dollars(saved):f}",
    }  # fmt: skip


def costs(*days, by="model", baseline=OPUS, first=None) -> Costs:
    """The costs of these rows; in the table every row is a group of its own."""
    rows = [one | {"key": one["model"]} for one in days]
    return Costs(by=by, rows=rows, days=days, baseline=baseline, first=first, last=LAST)


class Images(HTMLParser):
    """Collects the pictures of a page, and every tag that is no part of ours."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.svgs: list[ET.Element] = []
        self.alts: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on")]
        if tag == "img":
            kind, _, svg = given["src"].partition(",")
            assert kind == "data:image/svg+xml"
            self.svgs.append(ET.fromstring(unquote(svg)))
            self.alts.append(given["alt"])

    def words(self) -> str:
        return "\n".join(
            e.text or "" for svg in self.svgs for e in svg if e.tag.endswith(("title", "desc"))
        )


amounts = st.integers(0, 10**12)
spent_rows = st.builds(
    row,
    day=st.integers(0, 400).map(lambda ago: LAST - timedelta(ago)),
    cost=amounts,
    saved=st.none() | st.integers(-(10**12), 10**12),
    origin=st.sampled_from([*ORIGINS, "martian"]),
    calls=st.integers(0, 50),
)


@given(st.lists(spent_rows, min_size=1, max_size=30), st.integers(1, 120))
def test_the_figures_of_the_picture_are_the_ledgers_sums(rows, most):
    """However the days are put together: exact sums in all, by origin, by column, of savings."""
    sums = spending(rows, most=most, last=LAST)
    known = [Decimal(one["saved"]) for one in rows if one["saved"] is not None]
    assert sums.total == sum(Decimal(one["cost"]) for one in rows)
    assert sum(b.total for b in sums.buckets) == sums.total
    assert sums.saved == (sum(known) if known else None)
    assert sum((b.saved for b in sums.buckets if b.saved is not None), Decimal(0)) == (
        sums.saved or 0
    )
    assert sum(sums.calls.values()) == sum(one["calls"] for one in rows)
    assert len(sums.buckets) <= most
    assert sums.buckets[-1].last == LAST
    for one, two in zip(sums.buckets, sums.buckets[1:], strict=False):
        assert two.first - one.last == timedelta(1)
    assert sum(sums.share(o) for o in sums.spent) == pytest.approx(
        1 if sums.total or sum(sums.calls.values()) else 0
    )


@given(st.lists(spent_rows, min_size=1, max_size=20))
def test_the_words_of_the_picture_say_the_sums(rows):
    """Spend and savings in all, and each origin's part, in title, desc and alt."""
    page = Images(costs(*rows).draw("").html)
    sums, words = spending(rows, most=90, last=LAST), page.words()
    if len(sums.buckets) > 1:
        assert f"{show(sums.total)} in all" in words
        if sums.saved is not None:
            assert f"{show(sums.saved)} in all" in words
    for origin, spent in sums.spent.items():
        assert f"{ORIGINS[origin]} models: {sums.share(origin):.0%} · {show(spent)}" in words
    assert all(svg.attrib["role"] == "img" for svg in page.svgs)
    described = [svg for svg in page.svgs if len(svg) > 1 and svg[0].tag.endswith("title")]
    assert len([alt for alt in page.alts if alt]) == len(described)


@given(st.lists(st.integers(50, 1_000), min_size=1, max_size=90))
def test_columns_are_as_high_as_what_they_show(values):
    """Lengths are in proportion, the highest fills the picture."""
    drawn = ET.fromstring(chart.columns("t", "w", [{"chinese": Decimal(v)} for v in values]))
    path = next(e for e in drawn.iter() if e.attrib.get("stroke") == chart.INKS["chinese"].colour)
    ends = re.findall(r"M\S+ ([\d.]+)V([\d.]+)", path.attrib["d"])
    lengths = [float(y0) - float(y1) for y0, y1 in ends]
    for value, length in zip(values, lengths, strict=True):
        assert length == pytest.approx((chart.HEIGHT - 2) * value / max(values), abs=0.11)


def test_a_loss_hangs_under_the_line():
    """The position says it, not the colour: up from zero or down from zero."""
    drawn = chart.columns("t", "w", [{"saved": Decimal(3)}, {"saved": Decimal(-1)}])
    up, down = re.findall(r"M\d+ ([\d.]+)V([\d.]+)", drawn)
    assert up[0] == down[0]
    assert float(up[1]) < float(up[0]) < float(down[1])


@given(st.text(st.characters(), max_size=40), st.text(st.characters(), max_size=40))
def test_no_name_breaks_the_picture(model, baseline):
    """Any characters, half ones too: well-formed XML, and only tags of ours on the page."""
    days = [row(model=model, baseline=baseline), row(LAST - timedelta(3), model=model)]
    page = Images(costs(*days, baseline=baseline).draw("").html)
    assert page.svgs
    assert page.tags <= {"div", "strong", "img", "table", "tr", "th", "td"}


def test_hostile_names_do_nothing():
    """Markup, control sequences and reading order in a baseline or a model."""
    shown = costs(row(model=EVIL, baseline=EVIL), row(LAST - timedelta(1)), baseline=EVIL).draw(
        "", 60
    )
    assert "script" not in Images(shown.html).tags
    assert not re.search("[\x1b\u202e\ud83d]", unquote(shown.html) + shown.text)


names = (
    st.text(st.characters(), max_size=60)
    | st.text("模型レル한 ab\t", max_size=60)
    | st.just("a" * 80)
)


@given(st.lists(st.tuples(spent_rows, names), min_size=1, max_size=8), names, st.integers(20, 120))
def test_text_keeps_to_the_width(rows, baseline, width):
    """Pictures, captions and table; wide characters count twice."""
    days = [one | {"model": model} for one, model in rows]
    text = costs(*days, baseline=baseline).draw("", width).text
    assert max(map(cells, text.split("\n"))) <= width
    assert "\x1b" not in text


def test_text_draws_every_day_with_block_characters():
    """Highest, half, nothing, a loss; a share of a half."""
    days = [
        row(LAST - timedelta(ago), cost, saved)
        for ago, cost, saved in ((3, 8, 8), (2, 4, 4), (0, 8, -2))
    ]
    days.append(row(LAST, 20, None, origin="local"))
    text = costs(*days).draw("").text.split("\n")
    assert "▃▂ █" in text
    assert "█▄ -" in text
    assert "Chinese ██████       50% · $0.000000020 · 3 calls" in text
    assert "$0.000000002 dearer on 2026-11-24; unknown for 1 call" in "\n".join(text)


def test_ninety_days_of_four_origins_are_small():
    """The worst that a quarter can hold stays under 15 kB."""
    days = [
        row(
            LAST - timedelta(ago),
            10**8 + 7 * ago * number,
            10**9 - ago,
            origin=origin,
            model=origin,
        )
        for ago in range(90)
        for number, origin in enumerate(ORIGINS)
    ]
    picture = costs(*days).picture().html
    assert len(picture.encode()) < 15_000
    assert len(spending(days, most=90, last=LAST).buckets) == 90


def test_colours_can_be_seen_on_white_and_on_black():
    """At least 3 to 1 against the backgrounds of JupyterLab and VS Code; no two look the same."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ink in chart.INKS.values():
        for ground in ("#ffffff", "#111111", "#1e1e1e"):
            one, two = sorted((light(ink.colour), light(ground)))
            assert (two + 0.05) / (one + 0.05) >= 3, (ink, ground)
    assert len({chart.INKS[origin].dashes for origin in ORIGINS}) == len(ORIGINS)


def test_one_day_needs_no_time_axis():
    """The shares stand alone; local models alone are shared out by calls."""
    text = costs(row(cost=0, origin="local", calls=4, model="local/a")).draw("").text
    assert "Share of the calls" in text
    assert "100% · $0 · 4 calls" in text
    assert "a day" not in text


def test_an_asked_span_is_drawn_from_its_first_day():
    """Seven days with one call are eight columns, as the first day is not whole."""
    asked = costs(row(), first=LAST - timedelta(7))
    assert len(asked.spending(90).buckets) == 8
    assert len(costs(row(), first=date(1970, 1, 1)).spending(90).buckets) == 1


def test_savings_that_nobody_knows_are_not_zero():
    """They are said to be unknown, in the heading and under the picture."""
    text = costs(row(saved=None), row(LAST - timedelta(1), saved=None)).draw("").text
    assert "savings unknown" in text
    assert "Savings are unknown" in text


def test_every_baseline_that_was_compared_with_is_named():
    """In the heading in full, under the picture by the short name."""
    both = "a/big and b/c/old"
    text = costs(row(), row(LAST - timedelta(1)), baseline=both).draw("").text
    assert "saved against a/big and b/c/old" in text
    assert "Saved a day against big and old" in text


def test_a_dear_month_says_so():
    """Nothing saved on any day."""
    text = costs(row(saved=-5_000), row(LAST - timedelta(1), saved=-1_000)).draw("").text
    assert "dearer against" in text
    assert "Nothing was saved against claude-opus-4.6; $0.0000050 dearer on 2026-11-24" in text


@pytest.mark.parametrize(
    ("first", "said"), [(None, "Nothing was spent yet. Try: %route Hi"), (LAST, "since 2026-11-24")]
)
def test_an_empty_ledger_says_what_to_try(first, said):
    """One line."""
    shown = costs(first=first).draw("%route Hi", 80)
    assert said in shown.text
    assert "\n" not in shown.text


def test_csv_holds_exact_dollars_and_cannot_be_a_formula(tmp_path):
    """One line a group; unknown is empty; a key that a spreadsheet would run is quoted."""
    target = tmp_path / "costs.csv"
    costs(row(cost=23), row(saved=None, model="=1+1")).write_csv(target)
    one, two = csv.DictReader(target.read_text("utf-8").splitlines())
    assert (one["model"], one["cost_usd"], one["saved_usd"]) == (
        "zhipu/glm-5",
        "0.000000023",
        "0.000009000",
    )
    assert (two["model"], two["saved_usd"]) == ("'=1+1", "")


def test_csv_replaces_only_what_it_wrote(tmp_path):
    """Its own file in any grouping, an empty one; nothing else, and no missing folder is made."""
    folder = tmp_path / "out"
    folder.mkdir()
    target, other = folder / "costs.csv", folder / "notes.csv"
    target.touch()
    for by in ("model", "day"):
        costs(row(), by=by).write_csv(target)
    assert target.read_text("utf-8").startswith("day,calls,")
    other.write_text("name,calls\nmine,1\n", "utf-8")
    with pytest.raises(UsageError, match="was not written by %costs"):
        costs(row()).write_csv(other)
    assert other.read_text("utf-8") == "name,calls\nmine,1\n"
    for bad in (folder / "no" / "x.csv", folder):
        with pytest.raises(UsageError):
            costs(row()).write_csv(bad)
    assert sorted(p.name for p in folder.iterdir()) == ["costs.csv", "notes.csv"]


def test_the_frame_can_be_summed():
    """Numbers of pandas' own, unknown as NaN, columns also where nothing was spent."""
    frame = costs(row(cost=20), row(cost=3, saved=None)).frame()
    assert frame["cost"].sum() == pytest.approx(23e-9)
    assert list(frame["saved"].isna()) == [False, True]
    assert list(costs().frame().columns) == list(frame.columns)


def test_without_pandas_it_is_the_list(monkeypatch):
    """As the query gave it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert costs(row()).frame()[0]["cost"] == "0.000001000"


def test_the_interactive_figure_holds_the_same_sums():
    """A bar chart by origin and one of savings, with the pattern of each origin."""
    days = [
        row(LAST - timedelta(ago), 10**9, 2 * 10**9, origin=o) for ago in range(3) for o in ORIGINS
    ]
    bundle = costs(*days).figure()["application/vnd.plotly.v1+json"]
    drawn = {trace["name"]: trace for trace in bundle["data"]}
    assert set(drawn) == {*ORIGINS.values(), "saved"}
    assert drawn["Chinese"]["y"] == [1.0, 1.0, 1.0]
    assert drawn["saved"]["y"] == [8.0, 8.0, 8.0]
    assert len({trace["marker"].get("pattern", {}).get("shape") for trace in bundle["data"]}) == 5


def test_without_plotly_the_remedy_is_a_line_to_paste(monkeypatch):
    """Not a traceback."""
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(UsageError, match="plotly") as caught:
        costs(row()).figure()
    assert '%pip install "smartrouter-serve[lab]"' in caught.value.remedy


def test_a_home_that_is_no_folder_is_one_line(tmp_path):
    """The state folder cannot be used: what and what to do."""
    blocked = Path(tmp_path / "file")
    blocked.touch()
    with pytest.raises(UsageError, match="cannot be written"):
        costs(row()).write_csv(blocked / "costs.csv")
