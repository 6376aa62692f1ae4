"""Model text on a terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrouter_serve.widgets.terminal import Cleaner, can_be_typed, clean, one_line

HOSTILE = st.text(
    alphabet="ab1;?!(\\[]PX^_m~\t\n\r\x07\x08\x18\x1a\x1b\x7f\x84\x90\x98\x9b\x9c\x9d\x9f\u202e\u2066é😀\ud83d"
)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b]0;new title\x07after", "after"),
        ("\x1b]52;c;cm0gLXJm\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;sixel\x1b\\after", "after"),
        ("\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x9cafter", "after"),
        ("\x9b31mred\x9d0;t\x9cafter", "redafter"),
        ("\x1b(0\x1bcreset", "reset"),
        ("a\rb\x08c\x07d\x00e\x7ff", "abcdef"),
        ("line\r\nline", "line\nline"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
        ("\x1b]never closed", ""),
        ("\x1b]0;broken off\x1b[31mred", "red"),
        ("half \ud83d", "half \ufffd"),
        ("naïve 日本語 😀", "naïve 日本語 😀"),
    ],
)
def test_strips_what_acts_and_keeps_what_is_read(raw: str, shown: str) -> None:
    """Escape sequences go with their payload, text stays."""
    assert clean(raw) == shown


@given(HOSTILE)
def test_nothing_that_acts_is_left(text: str) -> None:
    """The result holds no control but tab and newline, and can be encoded."""
    shown = clean(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode()


@settings(max_examples=500)
@given(HOSTILE, st.lists(st.integers(0, 60)))
def test_pieces_join_to_the_whole(text: str, cuts: list[int]) -> None:
    """However a text is cut, the increments join to `clean` of the whole."""
    cleaner, start, shown = Cleaner(), 0, ""
    for cut in [*sorted(cuts), len(text)]:
        shown += cleaner.feed(text[start:cut])
        start = max(start, min(cut, len(text)))
    assert shown == clean(text)


@given(HOSTILE)
def test_one_character_at_a_time(text: str) -> None:
    """The hardest cut of all."""
    cleaner = Cleaner()
    assert "".join(map(cleaner.feed, text)) == clean(text)


@pytest.mark.parametrize("unit", ["\x90", "\x1b]", "\x1b[1", "\x9b", "\x1b(", "a"])
def test_hostile_length_in_pieces_is_what_it_is_as_a_whole(unit: str) -> None:
    """A megabyte of introducers ends, and leaves as much as in one piece."""
    cleaner = Cleaner()
    shown = "".join(cleaner.feed(unit * 150) for _ in range(2_000))
    assert shown == clean(unit * 300_000)


def test_what_a_cleaner_keeps_back_does_not_grow() -> None:
    """Of a string that is never closed only its introducer and its last character are kept."""
    cleaner = Cleaner()
    for _ in range(1_000):
        cleaner.feed("\x1b]0;" + "x" * 1_000)
    assert len(cleaner._open) <= 3


def test_right_to_left_text_is_kept() -> None:
    """Only what overrides the direction goes, and marks that letters need stay."""
    assert clean("שלום \u202eمرحبا\u202c \u200f\u200d") == "שלום مرحبا \u200f\u200d"


def test_one_line_begins_no_other() -> None:
    """In a table or an error a provider's words cannot look like a line of ours."""
    assert one_line("a\nerror: b\tc\u2028d") == "a error: b c d"


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("openrouter/anthropic/claude-opus-4.6", True),
        ("local/smollm2-135m@t=0.5", True),
        ("ollama/qwen2.5:0.5b", True),
        ("x; rm -rf ~", False),
        ("x$(id)", False),
        ("x\nimport os", False),
        ("x\x1b[31m", False),
        ("", False),
    ],
)
def test_completion_offers_only_plain_words(name: str, may: bool) -> None:
    """A model's name comes from a provider's list, and completion puts it on the person's line."""
    assert can_be_typed(name) is may
