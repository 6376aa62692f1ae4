"""The code, the JSON and the tool calls of an answer, as blocks."""

from __future__ import annotations

import ast
import json
import re
import warnings
from textwrap import dedent
from typing import NoReturn

from smartrouter_serve.types import ToolCall
from smartrouter_serve.widgets.bundle import Bundle, folded
from smartrouter_serve.widgets.markdown import plain, to_html
from smartrouter_serve.widgets.terminal import clean

_FENCED = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n`]*\n"
    r"(?P<code>.*?)(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
_PYTHON = ("python", "python3", "py", "ipython", "ipython3")
_SHORT = 80
"""Characters up to which a tool call is one line."""


def code_of(text: str) -> str:
    """The code of an answer: its fenced blocks joined, or all of it where there is none."""
    return "\n".join(code for _, code in _blocks(text)) or text


def python_of(text: str) -> str:
    """What of an answer can go into a cell: its Python where it says which is, else its code.

    Empty where an answer without a fence is no Python either.
    """
    blocks = _blocks(text)
    python = [code for language, code in blocks if language.lower() in _PYTHON]
    if blocks:
        return "\n\n".join(python or [code for _, code in blocks])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return text


def language_of(text: str) -> str:
    """The language of an answer's first fenced block, as the answer names it."""
    return next((language for language, _ in _blocks(text)), "")


def _blocks(text: str) -> list[tuple[str, str]]:
    return [
        (found["language"], dedent(found["code"]).rstrip("\n")) for found in _FENCED.finditer(text)
    ]


def json_of(text: str) -> str | None:
    """The JSON of an answer, indented; None where it holds none."""
    return _json(text, 2) or _json(code_of(text), 2)


def _json(text: str, indent: int | None) -> str | None:
    try:
        return json.dumps(_parsed(text), indent=indent, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return None


def json_fault(text: str) -> str:
    """Why an answer is not JSON, in one line; empty where it is."""
    if json_of(text) is not None:
        return ""
    try:
        _parsed(code_of(text))
    except json.JSONDecodeError as error:
        where = f": {error.msg} in line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError) as error:
        where = f": {error}"
    else:
        where = ""
    return f"the answer is not valid JSON{where}; it is shown as it came"


def _parsed(text: str) -> object:
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def code_block(code: str, language: str = "") -> Bundle:
    """Code as a page highlights it."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    language = re.sub(r"[^\w+#.-]", "", language)
    return Bundle(to_html(f"{fence}{language}\n{code}\n{fence}\n"), clean(code))


def tool_calls(calls: tuple[ToolCall, ...]) -> Bundle:
    """What the model wants to be called; long arguments are folded."""
    shown = Bundle("", "")
    for call in calls:
        shown += _tool_call(call)
    return shown


def _tool_call(call: ToolCall) -> Bundle:
    short = clean(f"{call.name}({_json(call.arguments, None) or call.arguments})")
    if len(short) <= _SHORT and "\n" not in short:
        return Bundle(f"<div>→ calls <code>{plain(short)}</code></div>", f"→ calls {short}")
    pretty = _json(call.arguments, 2) or call.arguments
    lines = pretty.count("\n") + 1
    summary = f"→ calls {call.name} with {lines:,} line{'s' * (lines > 1)} of arguments"
    return folded(summary, code_block(pretty, "json"))
