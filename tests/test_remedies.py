"""Every error says what to do next."""

from __future__ import annotations

import ast
from pathlib import Path

from smartrouter_serve import errors

PACKAGE = Path(errors.__file__).parent
OURS = {
    name
    for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, errors.SmartRouterError)
}
ELSEWHERE = {
    "main.py": "click's own message says it",
    "arena.py": "a lane that was stopped; the cell says what is left",
}


def silent(file: Path) -> list[str]:
    """The errors of a module that are made without a remedy."""
    return [
        f"{file.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)[:80]}"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in OURS
        and (len(node.args) < 2 or (isinstance(node.args[1], ast.Constant) and not node.args[1].value))
        and not (file.name in ELSEWHERE and node.func.id in ("UsageError", "Stopped") and len(node.args) == 1)
    ]  # fmt: skip


def test_every_error_that_is_made_has_a_remedy():
    """Cause first, then the way on; the list names those that have none."""
    found = [line for file in sorted(PACKAGE.rglob("*.py")) for line in silent(file)]
    assert found == []
