"""Tab: options and their values behind a magic, and Python inside the braces of a prompt."""

from __future__ import annotations

import re
import shlex
from argparse import Action
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from smartrouter_serve.magics import commands
from smartrouter_serve.magics.names import Offer, plain, values, vote
from smartrouter_serve.widgets.terminal import can_be_typed

_BODY = re.compile(r"\s*(?:%%(?!route\b|arena\b)\w+[^\n]*\n)*%%(route|arena)\b[^\n]*\n")
"""What stands before a prompt: the magic's line, maybe behind others such as `%%time`."""
_LINE = re.compile(r"\s*%(%?)(route|arena|costs|smartrouter)[ \t]+(.*)$")
_REACH = 5_000
"""Characters before the cursor in which the opening brace is looked for."""
_PROMPTS = ("route", "arena")
_NO_PYTHON = ("magic", "path")
"""Kinds of completion that cannot stand in an expression."""


class Completion:
    """What Tab offers in the cells of one shell."""

    def __init__(self, magics: Any) -> None:
        self._magics = magics
        self._completer = magics.shell.Completer

    def offers(self, text: str) -> tuple[str, list[Offer]]:
        """The word at the end of `text`, a cell up to the cursor, and what may stand there."""
        if body := _BODY.match(text):
            return self._python(open_expression(text[body.end() :]))
        found = _LINE.match(text.rpartition("\n")[2])
        if found is None:
            return "", []
        name, rest = found[2], found[3]
        typed, known = self._behind(name, rest, is_cell=bool(found[1]))
        if not known and not found[1] and name in _PROMPTS:
            return self._python(open_expression(rest))
        return typed, [o for o in known if o.text.startswith(typed) and can_be_typed(o.text)]

    def _behind(self, name: str, rest: str, *, is_cell: bool) -> tuple[str, list[Offer]]:
        """Behind a magic's name on its line."""
        before = rest.split()
        typed = before.pop() if rest[-1:].strip() else ""
        if name == "smartrouter":
            return typed, self._words(before)
        try:
            shlex.split(rest)
        except ValueError:  # inside a quotation
            return "", []
        actions = self._actions(name)
        option = _asked(actions, before, typed)
        if option is not None:
            typed = typed.partition("=")[2] if typed.startswith("--") else typed
            if option.choices:
                return typed, plain(option.choices)
            return values(option.dest, typed, self._magics.session)
        if _prose(actions, before) or not (typed.startswith("-") or (not typed and is_cell)):
            return typed, []
        return typed, [
            Offer(flag, _unit(action))
            for action in actions
            if not set(action.option_strings) & set(before)
            for flag in action.option_strings
        ]

    def _words(self, before: list[str]) -> list[Offer]:
        if not before:
            return plain(commands.WORDS, "word")
        return vote(self._magics.session, before[1:]) if before[0] == "vote" else []

    def _actions(self, name: str) -> list[Action]:
        return list(getattr(self._magics, name).parser._actions)  # noqa: SLF001

    def _python(self, expression: str | None) -> tuple[str, list[Offer]]:
        """What the shell's own completer offers for an expression."""
        if expression is None:
            return "", []
        from IPython.core.completer import provisionalcompleter, rectify_completions

        with provisionalcompleter(), _kept(self._completer):
            found = list(self._completer.completions(expression, len(expression)))
            found = [one for one in found if one.type not in _NO_PYTHON]
            found = list(rectify_completions(expression, found))
        typed = expression[found[0].start :] if found else ""
        return typed, [Offer(one.text, one.type) for one in found]


def _asked(actions: list[Action], before: list[str], typed: str) -> Action | None:
    """The option whose value is being typed."""
    flag, equals, _ = typed.partition("=")
    if not typed.startswith("--"):
        flag = before[-1] if before else ""
    elif not equals:
        return None
    return next((a for a in actions if flag in a.option_strings and a.nargs != 0), None)


def _prose(actions: list[Action], before: list[str]) -> bool:
    """Whether the prompt has begun: a word that is neither an option nor an option's value."""
    takes = {flag for action in actions if action.nargs != 0 for flag in action.option_strings}
    return any(
        not word.startswith("-") and previous not in takes
        for previous, word in zip(["", *before], before, strict=False)
    )


def _unit(action: Action) -> str:
    if action.nargs == 0:
        return "switch"
    return str(action.metavar or "|".join(action.choices or ()) or action.dest.upper())


def open_expression(text: str) -> str | None:
    """The inside of the brace that is open at the end of a prompt, if any; `{{` opens none."""
    depth, text = 0, text[-_REACH:]
    for at in range(len(text) - 1, -1, -1):
        if text[at] == "}":
            depth += 1
        elif text[at] == "{" and depth:
            depth -= 1
        elif text[at] == "{":
            run = at + 1 - len(text[: at + 1].rstrip("{"))
            return text[at + 1 :] if run % 2 else None
    return None


@contextmanager
def _kept(completer: Any) -> Iterator[None]:
    """Let a completer be used while it completes; without jedi, which takes its time."""
    names = ("line_buffer", "text_until_cursor", "use_jedi")
    before = {name: getattr(completer, name, None) for name in names}
    completer.use_jedi = False
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(completer, name, value)


def install(magics: Any) -> Callable[[], None]:
    """Add the matcher to the shell of these magics; answers how to take it away."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    completion, matchers = Completion(magics), magics.shell.Completer.custom_matchers

    @context_matcher()  # type: ignore[untyped-decorator]
    def smartrouter_matcher(context: Any) -> dict[str, Any]:
        lines = context.full_text.split("\n")[: context.cursor_line + 1]
        lines[-1] = lines[-1][: context.cursor_position]
        typed, found = completion.offers("\n".join(lines))
        return {
            "completions": [SimpleCompletion(one.text, type=one.kind) for one in found],
            "suppress": bool(found),
            "matched_fragment": typed,
        }

    matchers.append(smartrouter_matcher)
    return lambda: matchers.remove(smartrouter_matcher)
