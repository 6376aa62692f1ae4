"""The words of `%smartrouter`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from smartrouter_serve.calls import NO_WINNER, Decided, decode
from smartrouter_serve.errors import UsageError, did_you_mean
from smartrouter_serve.magics.help import beside
from smartrouter_serve.magics.paste import ask_for_key
from smartrouter_serve.magics.session import Session
from smartrouter_serve.widgets.bundle import Bundle, heading, line, table, to_paste
from smartrouter_serve.widgets.formats import python_of
from smartrouter_serve.widgets.tables import (
    budgets_table,
    decision_table,
    models_table,
    status_table,
)
from smartrouter_serve.widgets.terminal import clean

_FIRST_STEPS = (
    "!smartrouter local pull smollm2",
    ask_for_key("openrouter", "OPENROUTER_API_KEY"),
)
"""The two ways to a model: 98 MB and no key, or a key that the saved notebook does not show."""
_QUESTION = "What is the capital of France?"
F = TypeVar("F", bound=Callable[..., Any])


def status(session: Session, _words: Sequence[str]) -> Bundle:
    """Where it runs, which providers have a key, budgets, what to try next."""
    told = session.router.query("status")
    shown = status_table(told)
    if not any(provider["ready"] for provider in told["providers"]):
        shown += line("No model can be called yet. Paste one of these two lines:")
        return shown + to_paste(_FIRST_STEPS)
    names = [row["name"] for row in session.router.query("sessions")]
    if names:
        shown += line(f"Sessions: {', '.join(names)}")
    return shown + _last(session) + line("Try next:") + to_paste(_next_steps(session))


def _next_steps(session: Session) -> list[str]:
    """Lines that work as they are: a battle only where two models can be called."""
    ready = [row["id"] for row in session.router.query("models") if not row["ready"]]
    battle = [f"%arena -m {','.join(ready[:2])} {_QUESTION}"] if len(ready) > 1 else []
    return [f"%route {_QUESTION}", *battle, "%costs --since 7d", "%smartrouter help"]


def _last(session: Session) -> Bundle:
    """The last decision of this process, if there was one."""
    try:
        told = session.router.query("why")
    except UsageError:
        return Bundle("", "")
    return line(f"Last decision: {told['decision']['reason']}")


def models(session: Session, words: Sequence[str]) -> Bundle:
    """Every model with price, health and speed; a word filters."""
    rows = session.router.query("models")
    return models_table([row for row in rows if all(word in row["id"] for word in words)])


def why(session: Session, words: Sequence[str]) -> Bundle:
    """Why the last run chose its model; a run's id explains that one."""
    told = session.router.query("why", **({"run": words[0]} if words else {}))
    decided: Decided = decode({"kind": "Decided", "decision": told["decision"]})
    return decision_table(decided.decision)


def insert(session: Session, _words: Sequence[str]) -> Bundle:
    """Put the code of the last answer into the next cell; nothing is run."""
    if session.last_reply is None:
        raise UsageError("There is no answer yet.", "Run a %%route cell first.")
    code = clean(python_of(session.last_reply.text))
    if not code.strip():
        raise UsageError(
            "The last answer holds no code.", "Ask for it, with %%route --format code for example."
        )
    session.shell.set_next_input(code)
    lines = code.count("\n") + 1
    return line(
        f"{lines:,} line{'s' * (lines > 1)} of {session.last_reply.model} put into the next cell."
    )


def vote(session: Session, words: Sequence[str]) -> Bundle:
    """`vote RUN 1|2|…|tie|none [reason]`; RUN may be left out for the last battle."""
    run, choice, *reason = _named(session, words)
    fought = session.router.query("battle", id=run)
    for number, one in enumerate(fought["contestants"], 1):
        if choice in (str(number), one["label"]) and one["reply"] is None:
            raise UsageError(
                f"{number} ({one['label']}) has no whole answer: {one['error']}",
                f"Vote for another one, or write %smartrouter vote {run} none.",
            )
    told = session.router.vote(run, choice, " ".join(reason).strip("\"'"))
    session.voted(run, told["winner"])
    before = told.get("replaced")
    instead = f" in place of {before}" if before else ""
    labels = [contestant["label"] for contestant in fought["contestants"]]
    names = ", ".join(f"{n} was {label}" for n, label in enumerate(labels, 1))
    told_now = f" ({names})" if fought["blind"] else ""
    return line(f"Voted for {told['winner']}{instead}; it counts in %leaderboard.{told_now}")


def _named(session: Session, words: Sequence[str]) -> list[str]:
    """The words of a vote with the run in front, which the last battle lends where it is missing.

    Raises `UsageError` where no battle or no contestant is named.
    """
    words, last = list(words), session.last_battle
    if last is not None and words and words[0] != last.id:
        labels = {contestant.label for contestant in last.contestants}
        if words[0].isdigit() or words[0] in {*NO_WINNER, *labels}:
            words.insert(0, last.id)
    if len(words) < 2:
        raise UsageError(
            "A vote names a battle and a contestant.", "Write %smartrouter vote RUN 1 [reason]."
        )
    return words


def budget(session: Session, _words: Sequence[str]) -> Bundle:
    """Budgets with what is spent, on hold and left."""
    return budgets_table(session.router.query("budgets"))


def sessions(session: Session, _words: Sequence[str]) -> Bundle:
    """The conversations that go on with --session."""
    rows = session.router.query("sessions")
    if not rows:
        return line("No session yet. Name one with %%route --session NAME.")
    return table(("session", "turns"), [(row["name"], row["turns"]) for row in rows])


def keys(_session: Session, _words: Sequence[str]) -> Bundle:
    """Which providers have a key and where it comes from; never the key."""
    from smartrouter_serve.assemble import key_sources
    from smartrouter_serve.config import load

    return table(("provider", "key from"), key_sources(load()).items()) + line(
        "Set one with `smartrouter keys set PROVIDER` in a terminal, or as a variable."
    )


def help_(_session: Session, _words: Sequence[str]) -> Bundle:
    """Show this list."""
    return heading("Smart Router") + table(("write", "what it does"), lines())


_MAGICS = (
    ("%%route --policy cheap", "Ask the cheapest model that is good enough: %%route? has more."),
    ("%%arena -g local", "Several models side by side: %%arena? has more."),
    ("%costs --by day --since 7d", "What was spent and saved: %costs? has more."),
    ("%leaderboard", "Who won the battles that were voted on."),
)
_EXAMPLES = {
    "models": "models glm",
    "vote": "vote 1 clearer",
}
"""Where an example says more than the word alone."""


def lines() -> list[tuple[str, str]]:
    """An example of each magic and each word, and what it does."""
    words = [
        (f"%smartrouter {_EXAMPLES.get(word, word)}", " ".join((f.__doc__ or "").split()))
        for word, f in _WORDS.items()
    ]
    return [*_MAGICS, *words]


def documented(magic: F) -> F:
    """Add the words to the docstring of `%smartrouter`, which `?` prints."""
    page = "\n".join(beside(example, said) for example, said in lines())
    magic.__doc__ = f"{inspect.cleandoc(magic.__doc__ or '')}\n\n{page}\n"
    return magic


_WORDS: dict[str, Callable[[Session, Sequence[str]], Bundle]] = {
    "status": status,
    "models": models,
    "why": why,
    "insert": insert,
    "vote": vote,
    "budget": budget,
    "sessions": sessions,
    "keys": keys,
    "help": help_,
}
WORDS = tuple(_WORDS)


def run(session: Session, text: str) -> Bundle:
    """Run a line of `%smartrouter`.

    Raises `UsageError` with the nearest word.
    """
    word, *rest = text.split() or ["status"]
    if word not in _WORDS:
        hint = did_you_mean(word, _WORDS, write=str)
        raise UsageError(f"Unknown word {word!r}.", f"{hint}Words are {', '.join(_WORDS)}.")
    return _WORDS[word](session, rest)
