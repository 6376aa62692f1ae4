"""The words of `%smartrouter`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smartrouter_serve.calls import Decided, decode
from smartrouter_serve.errors import UsageError, did_you_mean
from smartrouter_serve.magics.session import Session
from smartrouter_serve.widgets.bundle import Bundle, heading, line, table
from smartrouter_serve.widgets.formats import python_of
from smartrouter_serve.widgets.tables import (
    budgets_table,
    decision_table,
    models_table,
    status_table,
)
from smartrouter_serve.widgets.terminal import clean


def status(session: Session, _words: Sequence[str]) -> Bundle:
    """Where it runs, which providers have a key, budgets, what to try next."""
    told = session.router.query("status")
    shown = status_table(told)
    if not any(provider["ready"] for provider in told["providers"]):
        shown += line(
            "No model can be called yet. Paste one of: `!smartrouter local pull smollm2` (98 MB, "
            "no key), `!smartrouter keys set openrouter`."
        )
        return shown
    return shown + line("Try %%route, %%arena -g local, %costs, %smartrouter why.")


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
    words = list(words)
    last = session.last_battle.id if session.last_battle else ""
    if last and words and (words[0].isdigit() or words[0] in ("tie", "none")):
        words.insert(0, last)
    if len(words) < 2:
        raise UsageError(
            "A vote names a battle and a contestant.", "Write %smartrouter vote RUN 1 [reason]."
        )
    run, choice, *reason = words
    told = session.router.vote(run, choice, " ".join(reason).strip("\"'"))
    names = ", ".join(f"{n} was {label}" for n, label in enumerate(told["contestants"], 1))
    return line(f"Voted for {told['winner']}; thank you, it counts in %leaderboard. ({names})")


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
        "Set one with `!smartrouter keys set PROVIDER` in a terminal, or as a variable."
    )


def help_(_session: Session, _words: Sequence[str]) -> Bundle:
    """Show this list."""
    rows = [(f"%smartrouter {word}", (f.__doc__ or "").strip()) for word, f in _WORDS.items()]
    magics = [
        ("%%route", "Ask the cheapest model that is good enough; %%route? has the options."),
        ("%%arena", "Several models side by side; %%arena? has the options."),
        ("%costs", "What was spent and saved."),
        ("%leaderboard", "Who won the battles."),
    ]
    return heading("Smart Router") + table(("magic", "what it does"), [*magics, *rows])


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
