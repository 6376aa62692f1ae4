"""Braces in a prompt: `{expression}` is Python of the notebook, `{{` and `}}` are braces."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from smartrouter_serve.errors import UsageError

_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}
_REMEDY = "Write {{ and }} for braces that are meant as such."


def interpolate(text: str, names: Mapping[str, Any]) -> str:
    """Replace the expressions in `text` by their values.

    Format as in f-strings: `{x!r}`, `{x:.2f}`. Raises `UsageError` with line and column for a brace
    without its other half, and for an expression that fails.
    """
    pieces: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in "{}" and text[at : at + 2] == char * 2:
            pieces.append(char)
            at += 2
        elif char == "{":
            end, expression, conversion, form = _field(text, at)
            pieces.append(_value(text, at, expression, conversion, form, names))
            at = end + 1
        elif char == "}":
            raise UsageError(
                f"{_where(text, at)}: a closing brace without an opening one.", _REMEDY
            )
        else:
            stop = min((p for p in (text.find("{", at), text.find("}", at)) if p != -1), default=-1)
            stop = len(text) if stop == -1 else stop
            pieces.append(text[at:stop])
            at = stop
    return "".join(pieces)


def _where(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"Line {line}, column {at - text.rfind(chr(10), 0, at)}"


def _field(text: str, start: int) -> tuple[int, str, str, str]:
    """End, expression, conversion and format of the field that opens at `start`.

    The first closing brace up to which the text is a whole expression ends it, so dictionaries and
    braces in strings may stand inside.
    """
    end = text.find("}", start)
    while end != -1:
        found = _split(text[start + 1 : end])
        if found is not None:
            return end, *found
        end = text.find("}", end + 1)
    first = text.find("}", start)
    if first == -1:
        raise UsageError(f"{_where(text, start)}: an opening brace without a closing one.", _REMEDY)
    inner = text[start + 1 : first]
    raise UsageError(f"{_where(text, start)}: {inner!r} is not a Python expression.", _REMEDY)


def _split(inner: str) -> tuple[str, str, str] | None:
    """Expression, conversion and format of a field's inside; None if that is not one."""
    if _is_expression(inner):
        return inner, "", ""
    for at, char in enumerate(inner):
        if char == "!" and inner[at + 1 : at + 2] in _CONVERSIONS and _is_expression(inner[:at]):
            rest = inner[at + 2 :]
            if not rest or rest.startswith(":"):
                return inner[:at], inner[at + 1], rest[1:]
        if char == ":" and _is_expression(inner[:at], formatted=True):
            return inner[:at], "", inner[at + 1 :]
    return None


def _is_expression(text: str, *, formatted: bool = False) -> bool:
    """Whether `text` is an expression that says something.

    A bare literal is none: `{1}`, `{2,3}` and `{"a": 1}` are LaTeX, patterns and JSON, whose braces
    are meant as such. A text alone may be one, but not with a format behind it.
    """
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return False
    if isinstance(body, ast.Constant):
        return isinstance(body.value, str) and not formatted
    literal = isinstance(body, ast.Tuple | ast.List | ast.Set | ast.Dict)
    return not literal or any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(body))


def _value(
    text: str, at: int, expression: str, conversion: str, form: str, names: Mapping[str, Any]
) -> str:
    try:
        # The user's own expression in the user's own notebook, as in a cell.
        # As globals, so that comprehensions and lambdas see the names, too.
        value = eval(expression.strip(), dict(names))  # noqa: S307  # nosec B307
        if conversion:
            value = _CONVERSIONS[conversion](value)
        return format(value, form)
    except Exception as error:
        said, remedy = f"{type(error).__name__}: {error}", _REMEDY
        if isinstance(error, NameError):
            said = f"there is no variable {error.name!r}"
            remedy = f"Run the cell that makes it first, or: {_REMEDY}"
        raise UsageError(f"{_where(text, at)}: {expression.strip()!r}: {said}.", remedy) from error
