"""What one output holds, on a page."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from smartrouter_serve.widgets.bundle import folded, heading, line, table
from smartrouter_serve.widgets.costline import cost_note
from tests.widgets.test_views import REPLY


def text_nodes(html: str) -> list[str]:
    """What stands between two tags."""
    return re.split(r"<[^>]*>", html)


def test_two_prices_are_no_formula():
    """MathJax takes `$0.0026 · saved $` for one, and draws it in italics."""
    html = cost_note(REPLY).html
    assert html.count("<span>$</span>") == 2
    assert re.sub(r"<[^>]*>", "", html) == cost_note(REPLY).text


@given(st.text(alphabet="$\\()[]{}begin x<&"))
def test_no_text_of_our_own_is_typeset(text):
    """Neither dollars nor a backslash find their other half, wherever they are written."""
    inside = line(text, title="a hint")
    drawn = heading(text) + inside + folded(text, inside) + table(("a",), [(text,)])
    for node in text_nodes(drawn.html):
        assert not re.search(r"\$.+\$|\\[(\[a-z]", node)
