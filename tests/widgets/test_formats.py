"""Code, JSON and tool calls of an answer."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrouter_serve.types import ToolCall
from smartrouter_serve.widgets.formats import (
    code_block,
    code_of,
    json_fault,
    json_of,
    language_of,
    python_of,
    tool_calls,
)

INSTALL = "First:\n\n```bash\npip install x\n```\n\nthen\n\n```python\nimport x\n```\nDone."


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Look:\n```python\nx = 1\n```\nbye", "x = 1"),
        ("```\na\n```\n\n```\nb\n```", "a\nb"),
        ("~~~js\nlet a\n~~~", "let a"),
        ("````md\n```\ninner\n```\n````", "```\ninner\n```"),
        ("1. do\n\n   ```python\n   if x:\n       y\n   ```\n", "if x:\n    y"),
        ("```python\nstill grow", "still grow"),
        ("x = 1", "x = 1"),
        ("use ```x``` here", "use ```x``` here"),
    ],
)
def test_the_code_of_an_answer(text, code):
    """Fences of either kind, nested, in a list, unfinished; without one the answer is the code."""
    assert code_of(text) == code


@pytest.mark.parametrize(
    ("text", "python"),
    [
        (INSTALL, "import x"),
        ("```\na = 1\n```\n```\nb = 2\n```", "a = 1\n\nb = 2"),
        ("x = 1\nprint(x)", "x = 1\nprint(x)"),
        ("I cannot do that.", ""),
        ("print('\\d')", "print('\\d')"),
    ],
)
def test_what_goes_into_a_cell_is_python(text, python):
    """Where an answer has a shell's line and Python, the cell gets the Python; prose is none."""
    assert python_of(text) == python


def test_the_language_is_the_first_fences():
    """As the answer names it; empty where it does not."""
    assert language_of(INSTALL) == "bash"
    assert language_of("```\nx\n```") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":[1,2]}', '{\n  "a": [\n    1,\n    2\n  ]\n}'),
        ('Here:\n```json\n{"ä":1}\n```', '{\n  "ä": 1\n}'),
        ("7", "7"),
    ],
)
def test_json_is_pretty(text, shown):
    """Indented, letters as they are, also out of a fence."""
    assert json_of(text) == shown
    assert json_fault(text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "Expecting value in line 1, column 1"),
        ('{"a": 1,\n "b" 2}', "Expecting ':' delimiter in line 2, column 6"),
        ("[NaN]", "NaN is no JSON"),
        ("[1e999]", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("", "line 1, column 1"),
    ],
)
def test_what_is_no_json_says_where(text, said):
    """One clear line; nothing that JSON does not have passes."""
    assert json_of(text) is None
    assert said in json_fault(text)
    assert len(json_fault(text).splitlines()) == 1


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))  # fmt: skip
def test_pretty_json_is_the_same_value(value):
    """Nothing is lost by making it pretty."""
    shown = json_of(json.dumps(value))
    assert shown is not None
    assert json.loads(shown) == value


@given(st.text(alphabet="`\n a<>&"))
def test_a_block_holds_any_code(code):
    """However many backticks it has, it stays one block, and nothing of it is markup."""
    html = code_block(code, 'py" onload=x').html
    assert html.count("<pre") == 1
    assert "onload=" not in html
    assert not re.search(r"<a>|<a/", html)


def test_a_short_tool_call_is_one_line_and_a_long_one_is_folded():
    """Name and arguments, pretty; what cannot be read stays as it came."""
    short = tool_calls((ToolCall(id="1", name="weather", arguments='{"in":"Paris","days":2}'),))
    assert short.text == '→ calls weather({"in": "Paris", "days": 2})'
    assert "<details>" not in short.html
    arguments = json.dumps({"rows": list(range(50))})
    long = tool_calls((ToolCall(id="2", name="insert", arguments=arguments),))
    assert "<summary>→ calls insert with 54 lines of arguments</summary>" in long.html
    assert '"rows": [\n    0,' in long.text
    broken = tool_calls((ToolCall(id="3", name="f", arguments='{"a'),))
    assert broken.text == '→ calls f({"a)'
