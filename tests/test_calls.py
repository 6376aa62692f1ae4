"""Values survive the seams."""

from __future__ import annotations

import json
import pickle
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrouter_serve import calls, errors
from smartrouter_serve.calls import ToolCallDelta, decode, encode, tool_calls
from smartrouter_serve.errors import Problem, ProviderError, SmartRouterError
from smartrouter_serve.types import Message, Part, Prior

KINDS = typing.get_args(calls.Call) + typing.get_args(calls.Event)
_JSON = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=2)


def _values(kind):
    st.register_type_strategy(dict, _JSON)
    st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
    if kind is calls.Finished:
        return st.builds(calls.Finished, data=st.none() | _JSON)
    return st.from_type(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_values_survive_pickle(kind, data):
    """A call or an event is the same on the other side of a process."""
    value = data.draw(_values(kind))
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_values_survive_json(kind):
    """A call or an event is the same on the other side of HTTP."""
    sample = {
        "Route": {
            "messages": (Message(role="user", content=(Part(text="a"), Part(image_url="b"))),)
        },
        "Arena": {"route": calls.Route(messages=()), "models": ()},
        "Vote": {"battle": "a", "choice": "1"},
        "Stop": {"battle": "a", "contestants": ("1",)},
        "Query": {"subject": "usage", "arguments": {"by": "day"}},
        "Decided": {"decision": calls.Decision(model="a/b", cap_nanos=3)},
        "Waiting": {"reason": "x"},
        "ToolCallDelta": {"index": 0},
        "Switched": {"from_model": "a", "to_model": "b", "reason": "c"},
        "Failed": {"problem": Problem(kind="AuthError", message="no")},
    }.get(kind.__name__, {"text": "é\u2028"} if "text" in kind.__dataclass_fields__ else {})
    value = kind(**sample)
    assert decode(json.loads(json.dumps(encode(value)))) == value


def test_decode_refuses_an_unknown_kind():
    """A newer peer's event is named, with what is known."""
    with pytest.raises(ValueError, match="unknown kind 'Later'; known are Route"):
        decode({"kind": "Later"})


def _tree(root: type[SmartRouterError]) -> list[type[SmartRouterError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in _tree(child))]


@pytest.mark.parametrize("cls", _tree(SmartRouterError), ids=lambda cls: cls.__name__)
def test_errors_survive_the_seam_and_pickle(cls):
    """Class, message, remedy and the provider's fields are the same afterwards."""
    extra = (2.5, "1302") if issubclass(cls, ProviderError) else ()
    error = cls("wrong", "mend it", *extra)
    for twin in (Problem.of(error).error(), pickle.loads(pickle.dumps(error))):
        assert type(twin) is cls
        assert (twin.message, twin.remedy, str(twin)) == ("wrong", "mend it", "wrong mend it")
        if extra:
            assert (twin.retry_after, twin.code) == extra


def test_every_error_is_drawn_in_the_tree():
    """The docstring is the map; a class that is not on it is lost."""
    for cls in _tree(SmartRouterError):
        assert cls.__name__ in errors.__doc__


def test_a_foreign_error_becomes_one_line():
    """What is not ours shows its type and first line, not a traceback."""
    problem = Problem.of(KeyError("a\nb"))
    assert "Unexpected KeyError" in problem.message
    assert "\n" not in problem.message
    assert type(problem.error()) is SmartRouterError


def test_an_unknown_class_becomes_the_root():
    """An error class of a newer version still raises."""
    assert type(Problem(kind="Later", message="m").error()) is SmartRouterError


@given(st.text(), st.lists(st.integers(0, 40), max_size=6))
def test_tool_call_pieces_join_at_every_split(arguments, cuts):
    """However arguments are cut, they come back whole, next to another call's pieces."""
    edges = sorted({0, len(arguments), *(c for c in cuts if c <= len(arguments))})
    pieces = [arguments[a:b] for a, b in zip(edges, edges[1:], strict=False)] or [""]
    deltas = [ToolCallDelta(index=1, id="x", name="f", arguments=pieces[0])]
    deltas += [ToolCallDelta(index=1, arguments=piece) for piece in pieces[1:]]
    deltas.insert(1, ToolCallDelta(index=0, id="y", name="g", arguments="{}"))
    joined = tool_calls(deltas)
    assert [(c.id, c.name, c.arguments) for c in joined] == [
        ("y", "g", "{}"),
        ("x", "f", arguments),
    ]


def test_priors_are_values():
    """Two equal figures are equal."""
    assert Prior(value=0.5, source="a") == Prior(value=0.5, source="a")
