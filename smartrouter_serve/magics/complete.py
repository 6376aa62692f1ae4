"""Tab: options, models, groups, policies and intents behind the magics' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, get_args

from smartrouter_serve.calls import Converge
from smartrouter_serve.config import POLICIES
from smartrouter_serve.engine.intent import INTENTS
from smartrouter_serve.providers.catalog import configured_catalog
from smartrouter_serve.types import Format, Think
from smartrouter_serve.widgets.terminal import can_be_typed

_MAGIC = re.compile(r"^\s*%{1,2}(route|arena|costs|smartrouter)\b")
_TOKEN = re.compile(r"[^\s,=]*$")
_VALUES: dict[str, tuple[str, ...]] = {
    "--policy": POLICIES,
    "--intent": INTENTS,
    "--think": get_args(Think),
    "--format": get_args(Format),
    "--converge": get_args(Converge),
    "--by": ("model", "provider", "intent", "day", "notebook", "project"),
}


def candidates(line: str, flags: Callable[[str], Iterable[str]]) -> tuple[str, list[str]]:
    """The word under the cursor at the end of `line`, and what may stand there."""
    found = _MAGIC.match(line)
    if found is None:
        return "", []
    token = _TOKEN.search(line)
    word = token[0] if token else ""
    before = line[: len(line) - len(word)].split()
    last = next((w for w in reversed(before) if w.startswith("-")), "")
    option = before[-1] if before and before[-1].startswith("-") else last
    listing = line.rstrip().endswith(",") or (bool(before) and before[-1].endswith(","))
    if option in ("-m", "--model", "--models") and (listing or before[-1:] == [option]):
        allowed: Iterable[str] = configured_catalog().models
    elif option in ("-g", "--group") and before[-1:] == [option]:
        allowed = configured_catalog().groups
    elif before[-1:] == [option] and option in _VALUES:
        allowed = _VALUES[option]
    elif word.startswith("-"):
        allowed = flags(found[1])
    elif found[1] == "smartrouter" and len(before) == 1:
        allowed = flags("smartrouter")
    else:
        return word, []
    return word, [name for name in allowed if name.startswith(word) and can_be_typed(name)]


def install(shell: Any, flags: Callable[[str], Iterable[str]]) -> Callable[[], None]:
    """Add the matcher to a shell; answers how to take it away."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()  # type: ignore[untyped-decorator]
    def smartrouter_matcher(context: Any) -> dict[str, Any]:
        lines = context.full_text.split("\n")
        line = lines[context.cursor_line][: context.cursor_position]
        word, names = candidates(line, flags) if context.cursor_line == 0 else ("", [])
        return {
            "completions": [SimpleCompletion(name, type="param") for name in names],
            "suppress": bool(names),
            "matched_fragment": word,
        }

    shell.Completer.custom_matchers.append(smartrouter_matcher)
    return lambda: shell.Completer.custom_matchers.remove(smartrouter_matcher)
