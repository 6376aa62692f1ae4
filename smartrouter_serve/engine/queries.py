"""Answers to `Query`: what is stored or known, as JSON values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from inspect import signature
from typing import Any

from smartrouter_serve.calls import Decided, Finished, Query, Route, encode
from smartrouter_serve.engine.answer import consider, obstacle
from smartrouter_serve.engine.estimate import tokens
from smartrouter_serve.engine.intent import read
from smartrouter_serve.engine.lane import Ports
from smartrouter_serve.errors import UsageError
from smartrouter_serve.money import PICOS_PER_NANO, dollars
from smartrouter_serve.types import Battle, Message, Model, Price, Rates, Reply

Runs = Mapping[str, Reply]


async def ask(ports: Ports, runs: Runs, query: Query) -> Any:
    """Answer `query`.

    Raises `UsageError` for an unknown subject or argument.
    """
    subject = _SUBJECTS.get(query.subject)
    if subject is None:
        raise UsageError(f"Unknown subject {query.subject!r}.", f"Known: {', '.join(_SUBJECTS)}.")
    try:
        signature(subject).bind(ports, runs, **query.arguments)
    except TypeError as error:
        raise UsageError(f"{query.subject}: {error}.", "Leave that argument out.") from error
    return await subject(ports, runs, **query.arguments)


def _per_million(picos: int | None) -> str | None:
    """Dollars a million tokens, as a decimal string."""
    if picos is None:
        return None
    whole, rest = divmod(picos, PICOS_PER_NANO * 1_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def _rates(rates: Rates) -> dict[str, Any]:
    return {
        "above_input_tokens": rates.above,
        "input": _per_million(rates.input),
        "output": _per_million(rates.output),
        "cached_input": _per_million(rates.cached_input),
        "cache_write": _per_million(rates.cache_write),
        "reasoning": _per_million(rates.reasoning),
    }


def _price(model: str, price: Price | None) -> dict[str, Any]:
    if price is None:
        return {"model": model, "tiers": [], "source": None, "as_of": None}
    return {
        "model": model,
        "tiers": [_rates(tier) for tier in price.tiers],
        "source": price.source,
        "as_of": price.as_of,
    }


async def _prices(ports: Ports, _runs: Runs, model: str = "") -> list[dict[str, Any]]:
    models = [ports.catalog.find(model).id] if model else list(ports.catalog.models)
    return [_price(name, ports.prices.price(name)) for name in models]


def _model(ports: Ports, model: Model) -> dict[str, Any]:
    price = ports.prices.price(model.id)
    health = ports.health[model.id]
    speed = health.speed()
    first = _rates(price.tiers[0]) if price else {}
    general = model.quality.get("general")
    return {
        "id": model.id,
        "provider": model.provider,
        "origin": model.origin,
        "jurisdiction": model.jurisdiction,
        "context": model.context,
        "max_output": model.max_output,
        "capabilities": sorted(model.capabilities),
        "input": first.get("input"),
        "output": first.get("output"),
        "cached_input": first.get("cached_input"),
        "price_source": price.source if price else None,
        "ready": obstacle(ports, model),
        "circuit": health.circuit,
        "success": 1 - speed.failures / speed.calls if speed and speed.calls else None,
        "first_token": speed.first_token if speed else None,
        "tokens_per_second": speed.tokens_per_second if speed else None,
        "calls": speed.calls if speed else 0,
        "quality": general.value if general else None,
        "quality_source": general.source if general else None,
    }


async def _models(ports: Ports, _runs: Runs) -> list[dict[str, Any]]:
    return [_model(ports, model) for model in ports.catalog.models.values()]


async def _groups(ports: Ports, _runs: Runs) -> dict[str, list[str]]:
    return {name: list(models) for name, models in ports.catalog.groups.items()}


async def _usage(
    ports: Ports, _runs: Runs, by: str = "model", since: float | None = None
) -> list[dict[str, Any]]:
    return await ports.ledger.usage(by, since)


async def _spending(ports: Ports, _runs: Runs, since: float | None = None) -> list[dict[str, Any]]:
    """Usage by day, model and baseline, with where each model comes from."""
    models = ports.catalog.models
    by_provider = {model.provider: _origin(model) for model in models.values()}
    rows = await ports.ledger.usage("day,model,baseline", since)
    for row in rows:
        name = row["model"]
        known = by_provider.get(name.partition("/")[0], "other")
        row["origin"] = _origin(models[name]) if name in models else known
    return rows


def _origin(model: Model) -> str:
    """The model's origin; a provider of one's own may say its law only."""
    return "chinese" if model.jurisdiction == "CN" else model.origin


async def _budgets(ports: Ports, _runs: Runs) -> list[dict[str, Any]]:
    return await ports.ledger.budgets()


async def _unconfirmed(ports: Ports, _runs: Runs) -> list[dict[str, Any]]:
    return await ports.ledger.unconfirmed()


async def _leaderboard(ports: Ports, _runs: Runs) -> list[dict[str, Any]]:
    return await ports.ledger.leaderboard()


async def _sessions(ports: Ports, _runs: Runs) -> list[dict[str, Any]]:
    return await ports.context.sessions()


async def _estimate(ports: Ports, _runs: Runs, prompt: str, model: str = "") -> dict[str, Any]:
    """What a prompt would cost, also with a model that cannot be called yet."""
    route = Route(messages=(Message(role="user", content=prompt),))
    found = read(route, route.messages)
    if model:
        chosen = ports.catalog.find(model)
    else:
        chosen = ports.catalog.models[(await consider(ports, route)).model]
    count = tokens(found, chosen, ports.settings.think, None)
    price = ports.prices.price(chosen.id)
    costs = [
        None if price is None else f"{dollars(price.plain_nanos(count.input, output)):f}"
        for output in (count.output, count.output_p90)
    ]
    return {
        "model": chosen.id,
        "input_tokens": count.input,
        "output_tokens": count.output,
        "output_tokens_p90": count.output_p90,
        "cost": costs[0],
        "cost_p90": costs[1],
    }


async def _status(ports: Ports, _runs: Runs) -> dict[str, Any]:
    settings = ports.settings
    trouble: dict[str, list[str]] = {name: [] for name in ports.providers}
    for model in ports.catalog.models.values():
        if model.provider in trouble:
            trouble[model.provider].append(obstacle(ports, model))
    return {
        "backend": "embedded",
        "home": str(settings.home),
        "config_file": str(settings.file) if settings.file else None,
        "providers": [
            {"name": name, "ready": "" in why, "why": "" if "" in why else (why or ["no model"])[0]}
            for name, why in trouble.items()
        ],
        "budgets": await ports.ledger.budgets(),
        "project": settings.project,
        "baseline": settings.baseline,
        "policy": settings.policy,
    }


async def _why(_ports: Ports, runs: Runs, run: str = "") -> dict[str, Any]:
    if run and run not in runs:
        raise UsageError(
            f"Run {run!r} is not among the last ones of this process.",
            "%smartrouter why alone explains the last one.",
        )
    if not runs:
        raise UsageError(
            "Nothing was routed in this process yet.",
            "Run a %%route cell first, then %smartrouter why.",
        )
    reply = runs[run] if run else list(runs.values())[-1]
    return {
        "decision": encode(Decided(decision=reply.decision))["decision"],
        "reply": encode(Finished(result=reply))["result"],
    }


async def fought(ports: Ports, run: str) -> Battle:
    """A battle that has ended.

    Raises `UsageError` where there is none.
    """
    found = await ports.ledger.battle(run)
    if found is None:
        raise UsageError(
            f"There is no battle {run!r}.",
            "Its id stands under the battle's columns, and in Battle.id.",
        )
    return found


async def _battle(ports: Ports, _runs: Runs, id: str) -> dict[str, Any]:  # noqa: A002 - the public argument
    result: dict[str, Any] = encode(Finished(result=await fought(ports, id)))["result"]
    return result


_SUBJECTS: dict[str, Callable[..., Awaitable[Any]]] = {
    "status": _status,
    "models": _models,
    "groups": _groups,
    "usage": _usage,
    "spending": _spending,
    "budgets": _budgets,
    "unconfirmed": _unconfirmed,
    "leaderboard": _leaderboard,
    "battle": _battle,
    "why": _why,
    "prices": _prices,
    "estimate": _estimate,
    "sessions": _sessions,
}
