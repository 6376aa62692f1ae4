"""What Tab can offer by name: models, groups, sessions, battles and files.

Nothing is built or called for it: catalog and prices are files of the package, and a router is
asked only where a cell has built one.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, cast, get_args

from smartrouter_serve.calls import NO_WINNER
from smartrouter_serve.config import POLICIES, load
from smartrouter_serve.engine.intent import INTENTS
from smartrouter_serve.engine.ports import Clock
from smartrouter_serve.errors import SmartRouterError
from smartrouter_serve.ledger.pricebook import TablePrices
from smartrouter_serve.magics.arguments import BY_WHAT
from smartrouter_serve.magics.session import Session
from smartrouter_serve.providers.catalog import configured_catalog, load_catalog
from smartrouter_serve.types import Battle, Think

_PARAMETERS = {"temperature": "0 to 2", "max_tokens": "tokens", "think": "thinking", "system": ""}
_PICOS = 1_000_000
"""Pico-dollars a token in one dollar a million tokens."""


class Offer(NamedTuple):
    """One completion, and what a front end shows beside it."""

    text: str
    kind: str


class _Now:
    def now(self) -> float:
        return time.time()


def plain(words: Iterable[str], kind: str = "value") -> list[Offer]:
    """Words that need no explanation."""
    return [Offer(word, kind) for word in words]


def models() -> Iterator[Offer]:
    """Every model with its price, in and out, in dollars a million tokens."""
    try:
        settings = load()
        catalog = load_catalog().with_settings(settings)
    except SmartRouterError:  # told by the next cell; Tab stays quiet
        yield from plain(load_catalog().models, "model")
        return
    prices = TablePrices(settings, cast("Clock", _Now()))
    for name in catalog.models:
        price = prices.price(name)
        if price is None:
            yield Offer(name, "price unknown")
            continue
        rates = price.tiers[0]
        costs = f"${rates.input / _PICOS:g} in, ${rates.output / _PICOS:g} out"
        yield Offer(name, costs if rates.input or rates.output else "free")


def variant(typed: str) -> tuple[str, list[Offer]]:
    """The part of `MODEL@NAME=VALUE,…` under the cursor, and what may stand there."""
    name, at, parameters = typed.partition("@")
    if not at:
        return name, list(models())
    last = parameters.rpartition(",")[2]
    parameter, equals, value = last.partition("=")
    if not equals:
        return last, [Offer(f"{one}=", kind) for one, kind in _PARAMETERS.items()]
    return value, plain(get_args(Think)) if parameter == "think" else []


def groups() -> list[Offer]:
    """The battle groups with their size."""
    found = configured_catalog().groups
    return [Offer(name, f"{len(members)} models") for name, members in found.items()]


def sessions(session: Session) -> list[Offer]:
    """The conversations of this kernel."""
    if session.live is None:
        return []
    rows = session.live.query("sessions")
    return [Offer(row["name"], f"{row['turns']} turns") for row in rows]


def battles(session: Session) -> list[Battle]:
    """The battles that this kernel knows: the last one, and those kept by `-o`."""
    kept = [value for value in session.shell.user_ns.values() if isinstance(value, Battle)]
    last = [session.last_battle] if session.last_battle else []
    return list({battle.id: battle for battle in (*last, *kept)}.values())


def vote(session: Session, before: list[str]) -> list[Offer]:
    """What may follow `vote`: a battle or, for the last one, a contestant."""
    known = battles(session)
    named = [battle for battle in known if before[-1:] == [battle.id]]
    if not named and before:
        return []
    contestants = [offer for battle in named or known[:1] for offer in _contestants(battle)]
    ids = [] if named else [Offer(battle.id, battle.prompt[:30]) for battle in known]
    return [*contestants, *ids]


def _contestants(battle: Battle) -> list[Offer]:
    labels = enumerate(battle.contestants, 1)
    numbers = [Offer(str(n), "hidden" if battle.blind else one.label) for n, one in labels]
    return [*numbers, *plain(NO_WINNER, "vote")]


def files(typed: str) -> list[Offer]:
    """Folders and files that begin so; names with blanks would have to be quoted."""
    found = sorted(glob.glob(f"{glob.escape(typed)}*"))  # noqa: PTH207 - keeps `./` as it was typed
    return [
        Offer(f"{name}/", "folder") if Path(name).is_dir() else Offer(name, "file")
        for name in found
        if not any(char.isspace() for char in name)
    ]


def values(option: str, typed: str, session: Session) -> tuple[str, list[Offer]]:
    """What may stand as the value of an option, by the option's name; also the word it replaces."""
    if option in ("model", "models"):
        return variant(typed.rpartition(",")[2] if option == "models" else typed)
    sources: dict[str, Callable[[], list[Offer]]] = {
        "group": groups,
        "session": lambda: sessions(session),
        "policy": lambda: plain(POLICIES),
        "intent": lambda: plain(INTENTS),
        "by": lambda: plain(BY_WHAT),
        "csv": lambda: files(typed),
    }
    return typed, sources[option]() if option in sources else []
