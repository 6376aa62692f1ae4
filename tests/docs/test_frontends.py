"""The table of front ends names tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

from docs import generate

ROOT = Path(__file__).parents[2]
KNOWN = (
    "JupyterLab 4",
    "Notebook 7",
    "VS Code",
    "plain IPython",
    "nbclient",
    "nbconvert",
    "papermill",
    "no kernel",
    "untrusted",
)


def _tests(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_test_that_a_row_names_exists():
    """A row whose test is gone would promise what nobody checks."""
    for row in generate.front_ends():
        for named in row["tested_by"]:
            file, _, test = named.partition("::")
            assert (ROOT / file).is_file(), f"{row['front_end']}: {named}"
            assert test in _tests(ROOT / file), f"{row['front_end']}: {named}"


def test_every_front_end_has_a_row():
    """Also the ones that could not be tried; those say so."""
    rows = generate.front_ends()
    assert {row["front_end"] for row in rows} >= set(KNOWN)
    untried = [row["front_end"] for row in rows if not row["tested_by"]]
    assert generate.front_end_table().count("| not tried |") == len(untried)
