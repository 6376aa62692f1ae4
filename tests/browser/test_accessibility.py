"""axe finds nothing serious in what the cells show, in the light and the dark theme."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

ANSWER = "Paris is **the** capital.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1  # one\n```\n"
CELLS = (
    "%%route --no-cache -m lab/small --explain\nWhere?",
    "%%arena --no-cache -m lab/small,lab/large\nWhere?",
    "%%route --dry-run\nWhere?",
    "%costs",
    "%smartrouter",
    "%%route --no-cache -m lab/smal\nWhere?",
)


@pytest.mark.parametrize("theme", ["lab", "dark_lab"])
def test_nothing_serious_in_the_outputs(theme, request, upstream, open_notebook):
    """No serious and no critical finding: names, roles, contrast, order."""
    notebook = open_notebook(request.getfixturevalue(theme), *CELLS)
    upstream.reply(ANSWER, reasoning="Let me see.")
    for _ in range(2):
        upstream.reply(ANSWER)
    for index in range(1, len(CELLS) + 1):
        notebook.run(index)
        assert notebook.text(index)
    found = Axe().run(notebook.page, context=".jp-OutputArea-output").response["violations"]
    serious = [
        (violation["id"], node["html"], node["failureSummary"])
        for violation in found
        for node in violation["nodes"]
        if node["impact"] in ("serious", "critical")
    ]
    assert serious == []
