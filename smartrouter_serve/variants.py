"""Model names as a person writes them: `provider/name@temperature=0,max_tokens=200`."""

from __future__ import annotations

from typing import Any, get_args

from smartrouter_serve.errors import UsageError
from smartrouter_serve.types import Think, Variant

_PARSERS: dict[str, Any] = {"temperature": float, "max_tokens": int, "think": str, "system": str}
_EXAMPLES = {"temperature": "0.2", "max_tokens": "200"}


def parse_variant(text: str) -> Variant:
    """Read a model name with optional fixed parameters; the last one, `system`, may hold commas.

    Raises `UsageError` for an unknown parameter or a value of the wrong kind. Whether the model
    exists is the engine's question.
    """
    model, _, tail = text.strip().partition("@")
    values: dict[str, Any] = {}
    while tail:
        name, equals, rest = tail.partition("=")
        name = name.strip()
        if name not in _PARSERS or not equals:
            raise UsageError(
                f"{text!r}: {name!r} is not a parameter of a variant.",
                f"Write MODEL@NAME=VALUE,… with {', '.join(_PARSERS)}.",
            )
        value, _, tail = (rest, "", "") if name == "system" else rest.partition(",")
        try:
            values[name] = _PARSERS[name](value.strip())
        except ValueError as error:
            raise UsageError(
                f"{text!r}: {value!r} is not a value for {name}.",
                f"Write {model}@{name}={_EXAMPLES[name]}, for example.",
            ) from error
    if values.get("think", "off") not in get_args(Think):
        raise UsageError(
            f"{text!r}: think is one of {', '.join(get_args(Think))}.", f"Write {model}@think=low."
        )
    return Variant(model=model, **values)
