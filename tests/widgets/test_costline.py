"""The line under an answer."""

from __future__ import annotations

import pytest

from smartrouter_serve.widgets.costline import budgets_left, cost_line, cost_note
from tests.widgets.test_views import EVIL, GLM, REPLY, active

DAILY = {
    "name": "daily", "limit": "5.00", "window": "day", "hard": True, "spent": "4.40", "on_hold": "0",
    "left": "0.600000000", "used": 0.88, "filters": {},
}  # fmt: skip


def test_a_budget_that_runs_out_stands_in_the_line():
    """From four fifths on: how much is left of which."""
    assert cost_line(REPLY, [DAILY]).endswith(" · 12 % of budget daily left: $0.6000")
    assert cost_line(REPLY, [DAILY | {"used": 0.8, "left": "1"}]).endswith(
        "20 % of budget daily left: $1.00"
    )
    assert "budget" not in cost_line(REPLY, [DAILY | {"used": 0.79, "left": "1.05"}])
    assert "budget" not in cost_line(REPLY)


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({}, 1),
        ({"model": "zhipu/*"}, 1),
        ({"model": "minimax/*"}, 0),
        ({"provider": "zhipu"}, 1),
        ({"provider": "minimax"}, 0),
        ({"project": "thesis"}, 1),
    ],
)
def test_only_budgets_of_this_model_are_told(filters, told):
    """A budget for others says nothing about this answer."""
    assert len(budgets_left([DAILY | {"filters": filters}], GLM)) == told


def test_the_line_is_an_element_of_its_own():
    """With a role and a label to find it by, the reason as its hint, and nothing active."""
    note = cost_note(REPLY, [DAILY | {"name": EVIL}])
    assert 'role="note" aria-label="What this answer cost"' in note.html
    assert 'title="zhipu/glm-5 is the cheapest of 2 that reach 0.70."' in note.html
    assert note.text.startswith(f"{GLM} · cheapest")
    assert not active(note.html)
    assert not active(note.text.replace("<img", ""))
