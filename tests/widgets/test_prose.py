"""Markdown on a terminal while it grows."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from smartrouter_serve.widgets.prose import Prose

SGR = re.compile(r"\x1b\[[0-9;]*m")
PARTS = (
    *("**", "*", "`", "```", "```py\n", "\n", "\n\n", " ", "  ", "| a | b |\n", "|---|:-:|\n", "# ", "- "),
    *("1. ", "> ", "word", "x = 1", "中文", "é", "2**3", "\t", "\x1b[2J", "\x1b]0;t\x07", "\x9b1m", "\u202e", "\ud83d"),
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)


def written(*pieces: str, width: int = 40, colors: bool = True, markdown: bool = True) -> str:
    """What a console of this width gets."""
    file = io.StringIO()
    system = "standard" if colors else None
    console = Console(file=file, width=width, force_terminal=True, color_system=system)
    prose = Prose(console, markdown=markdown)
    for piece in pieces:
        prose.feed(piece)
    prose.finish()
    return file.getvalue()


@given(TEXTS, st.lists(st.integers(0, 200), max_size=12), st.booleans())
def test_how_it_was_cut_does_not_matter(text, cuts, colors):
    """Fed at once or in any pieces, the same comes out."""
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert written(*pieces, colors=colors) == written(text, colors=colors)


@given(TEXTS, st.booleans())
def test_nothing_but_styles_reaches_the_terminal(text, colors):
    """No control character, no sequence but SGR; without colours not even that."""
    out = written(text, colors=colors)
    rest = SGR.sub("", out)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
        rest.replace("\t", ""),
    )
    assert colors or rest == out


@given(st.lists(st.text("abc", min_size=1, max_size=30), max_size=40), st.integers(30, 60))
def test_every_word_is_there_once_and_fits(words, width):
    """A word that has no room is moved to the next line whole."""
    out = written(" ".join(words), width=width, markdown=False)
    assert out.split() == words
    assert max(cell_len(line) for line in out.split("\n")) <= width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Title", "Title\n"),
        ("a **b c** d", "a b c d\n"),
        ("2**3 and 4**5", "2**3 and 4**5\n"),
        ("f(**kwargs) * 2", "f(**kwargs) * 2\n"),
        ("an **open one", "an **open one\n"),
        ("`**x**`", "**x**\n"),
        ("* one\n* two", "• one\n• two\n"),
        ("> said", "│ said\n"),
        ("[here](http://evil.example)", "[here](http://evil.example)\n"),
        ("![x](http://evil.example/p.png)", "![x](http://evil.example/p.png)\n"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>\n"),
        ("```py\nx = [1]\n```\n", "```py\nx = [1]\n```\n"),
        ("````\n```\n````\n**a**", "````\n```\n````\na\n"),
        ("```no-such-language\nx\n", "```no-such-language\nx\n"),
        ("| a |\nno table", "| a |\nno table\n"),
        ("这是**重点**内容", "这是重点内容\n"),
        ("", ""),
    ],
)
def test_what_is_shown(text, shown):
    """Marks become styles only where they are surely marks; links show where they go."""
    assert SGR.sub("", written(text)) == shown


def test_a_wide_table_stays_readable():
    """It is drawn within the width; with too many columns for that it is left as it was written."""
    row = "| " + " | ".join(f"cell {n}" for n in range(3)) + " |\n"
    drawn = SGR.sub("", written(row, "|---|---|---|\n", row * 5, width=30))
    assert drawn.count("cell 2") == 6
    assert max(cell_len(line) for line in drawn.split("\n")) <= 30
    many = "|" + " x |" * 20 + "\n"
    source = many + "|" + "---|" * 20 + "\n" + many
    assert written(source, width=40) == source


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "word " * 200_000, "`" * 300_000, "**a " * 200_000, "|x" * 300_000]
)
def test_a_huge_line_is_written_whole(text):
    """One line of a megabyte, whatever it holds; pieces of 4 kB as they arrive."""
    pieces = [text[at : at + 4096] for at in range(0, len(text), 4096)]
    out = SGR.sub("", written(*pieces, width=80))
    assert re.sub(r"\s", "", out) == re.sub(r"\s", "", text)
