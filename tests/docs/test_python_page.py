"""Every example of the page "From Python" runs, in a real kernel."""

from __future__ import annotations

import re
from pathlib import Path

from tests.magics.lab import notebook

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_examples_run(tmp_path):
    """In the page's order, after the magic that began the session."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 5
    with notebook(tmp_path) as book:
        book.run('import os; os.environ["SMARTROUTER_POLICY"] = "cheap"')
        book.run('MODELS = ["lab/small", "lab/large"]')
        assert book.run("%%route --session talk\nHello").status == "ok"
        shown = []
        for example in examples:
            cell = book.run(example)
            assert cell.status == "ok", cell.block
            shown.append(cell)
        assert shown[0].streams == "Fine.\n"
        assert len(book.upstream.bodies[1]["messages"]) == 3
        assert "lab/small" in shown[1].plain
        assert shown[2].streams == "Fine."
        assert "lab/large" in shown[3].plain
