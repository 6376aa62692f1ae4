"""The pictures of the README and the docs, taken from real cells; `make pictures` keeps them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.servers.upstream import Spent

ROUTE = """%%route -m lab/small
How do I read the last line of a large file in Python?"""
ARENA = """%%arena -m lab/small,lab/large
Is 2027 a prime number? One sentence."""
ANSWER = """Seek to the end and step back to the last line break:

```python
with open(path, "rb") as file:
    file.seek(-2, os.SEEK_END)
    while file.read(1) != b"\\n":
        file.seek(-2, os.SEEK_CUR)
    last = file.readline().decode()
```

It reads a few bytes, however large the file is."""
PRIME = (
    "Yes: no prime up to 45 divides **2027**.",
    "**2027 is prime**, since it has no divisor up to $\\sqrt{2027} \\approx 45$.",
)
LARGEST = 120_000


def test_pictures(lab, upstream, open_notebook, tmp_path):
    """Each cell fits in a small file."""
    folder = Path(os.environ.get("SMARTROUTER_PICTURES") or tmp_path)
    notebook = open_notebook(lab, ROUTE, ARENA, "%costs")
    upstream.reply(ANSWER, spent=Spent(input=24, output=96))
    for text in PRIME:
        upstream.reply(text, spent=Spent(input=21, output=24))
    for index, name in enumerate(("route", "arena", "costs"), 1):
        notebook.run(index)
        notebook.page.wait_for_load_state("networkidle")
        file = folder / f"{name}.png"
        notebook.cell(index).screenshot(path=file, animations="disabled")
        assert 2_000 < file.stat().st_size < LARGEST
