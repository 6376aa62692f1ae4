"""What drawing a battle costs the kernel: eight columns of 2 kB that all grow, ten drawings a second.

Every drawing is made and encoded as Jupyter sends it; nothing is slept, the share is the time that
ten drawings take of one second.
"""

from __future__ import annotations

import json
import statistics
import time

from benchmarks.bench import Figure
from smartrouter_serve.calls import Decided, TextDelta
from smartrouter_serve.types import Candidate, Decision
from smartrouter_serve.widgets.battle import BattleView

COLUMNS = 8
UPDATES = 100
_ANSWER = (
    "### A heading\n\nWords of an answer with **bold** ones, `code` and the formula $x^2 + y^2$ in "
    "the middle of a paragraph that goes on for three lines or so, as paragraphs do.\n\n"
    "- first of a list\n- second of a list\n\n```python\nfor n in range(10):\n    print(n)\n```\n\n"
)


def _once() -> float:
    """Seconds of a drawing, on average over a battle."""
    text = (_ANSWER * 8)[:2_000]
    piece = len(text) // UPDATES
    view = BattleView(brief=True)
    names = [f"lab/m{number}" for number in range(COLUMNS)]
    for name in names:
        row = Candidate(model=name, cost_nanos=1_000_000, cost_p90_nanos=2_000_000)
        view.apply(Decided(lane=name, decision=Decision(model=name, candidates=(row,))))
    spent = 0.0
    for at in range(0, len(text), piece):
        started = time.process_time()
        for name in names:
            view.apply(TextDelta(lane=name, text=text[at : at + piece]))
        json.dumps(view.draw().mime()).encode()
        spent += time.process_time() - started
    return spent / UPDATES


def run() -> list[Figure]:
    """Median of five battles."""
    drawing = statistics.median(_once() for _ in range(5))
    return [
        Figure(
            name="Drawing 8 columns of 2 kB, 10 a second, of a core",
            value=drawing * 10 * 100,
            unit="%",
            limit=25,
            peer=f"{drawing * 1000:.1f} ms a drawing",
        )
    ]
