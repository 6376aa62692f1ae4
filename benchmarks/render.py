"""Drawing answers: 4 kB to safe HTML, and the share of a core that eight growing columns take."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.bench import Figure, median_ms
from smartrouter_serve.calls import Decided, TextDelta
from smartrouter_serve.types import Decision
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.markdown import to_html

ANSWER = """## Why the function is slow

The loop in `rank` sorts **on every call**, so its cost is $O(n^2 \\log n)$, not $O(n)$. See the
[notes](https://docs.example/sorting) on *stable* sorting; it costs $5 and $6 of compute a day.

1. Sort once, and keep the result.
2. Use `bisect` to insert:
   - it is $O(\\log n)$ to find the place,
   - and moving memory is cheap.

```python
import bisect

def insert(ranking: list[tuple[float, str]], score: float, name: str) -> None:
    \"\"\"Keep the ranking sorted.\"\"\"
    bisect.insort(ranking, (score, name))  # stable enough
```

| way | time | memory |
|:----|-----:|-------:|
| before | 12.5 s | 3 MB |
| after | 0.03 s | 3 MB |

$$
T(n) = \\sum_{k=1}^{n} \\log_2 k = \\log_2 (n!)
$$

> Measure again with your own data before you rely on it.

"""
FOUR_KB = (ANSWER * 5)[:4096]
TWO_KB = (ANSWER * 3)[:2048]
DECISION = Decision(model="bench/m", reason="", intent="code", bar=0.7, candidates=())
UPDATES, RATE = 100, 10


def _seconds(render: Callable[[str], str], text: str, times: int = 60) -> list[float]:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        render(text)
        took.append(time.perf_counter() - started)
    return took


def _bleach(text: str) -> str:
    """The usual way: Markdown to HTML, then bleach, without maths, colours or link targets."""
    import bleach
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).enable(["table"]).render(text)
    return str(
        bleach.clean(
            html,
            tags={
                "p",
                "h2",
                "ul",
                "ol",
                "li",
                "pre",
                "code",
                "strong",
                "em",
                "table",
                "thead",
                "tbody",
                "tr",
                "th",
                "td",
                "a",
                "blockquote",
            },
        )
    )


def _bare(text: str) -> str:
    """The least that is safe: the same parser and sanitiser, made anew, nothing else."""
    import nh3
    from markdown_it import MarkdownIt

    return nh3.clean(MarkdownIt("commonmark", {"html": False}).enable(["table"]).render(text))


def _battle() -> float:
    """Process seconds a second that eight columns cost, growing to 2 kB each over ten seconds."""
    view, chance = BattleView(), random.Random(8)
    lanes = [f"bench/m{number}" for number in range(8)]
    texts = [
        TWO_KB[offset:] + TWO_KB[:offset] for offset in (chance.randrange(2048) for _ in lanes)
    ]
    for lane in lanes:
        view.apply(Decided(lane=lane, decision=DECISION))
    started = time.process_time()
    for update in range(UPDATES):
        for lane, text in zip(lanes, texts, strict=True):
            piece = text[len(text) * update // UPDATES : len(text) * (update + 1) // UPDATES]
            for word in piece.split(" "):
                view.apply(TextDelta(lane=lane, text=f"{word} "))
        view.draw().mime()
    return (time.process_time() - started) / (UPDATES / RATE)


def run() -> list[Figure]:
    """Median of 60 renderings; the median of 3 battles."""
    to_html(FOUR_KB)
    ours = median_ms(_seconds(to_html, FOUR_KB))
    bare, bleach = median_ms(_seconds(_bare, FOUR_KB)), median_ms(_seconds(_bleach, FOUR_KB))
    share = sorted(_battle() for _ in range(3))[1]
    return [
        Figure(
            name="4 kB to safe HTML, with maths, colours, targets",
            value=ours,
            unit="ms",
            limit=10.0,
            peer=f"markdown-it + nh3 alone {bare:.1f} ms, + bleach {bleach:.1f} ms",
        ),
        Figure(
            name="8 columns growing to 2 kB, 10 drawings a second",
            value=share * 100,
            unit="% core",
            limit=25.0,
            peer=f"each drawn whole: {8 * RATE * _half(TWO_KB):.0f} % core",
        ),
    ]


def _half(text: str) -> float:
    """Percent-seconds of rendering what is on average there: half of the text."""
    return median_ms(_seconds(to_html, text[: len(text) // 2])) / 10
