"""The decision: prompt features and options in, a ranked decision out. Pure, and without I/O.

Quality is the catalog's prior for the intent, moved by how hard the prompt looks. A policy is a bar
on it: the cheapest option that clears the bar within budget and latency wins; where none clears it,
the best one that is allowed does, and the reason says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from smartrouter_serve.engine import estimate
from smartrouter_serve.engine.intent import Features
from smartrouter_serve.engine.ports import Speed
from smartrouter_serve.errors import NoCandidate
from smartrouter_serve.money import show
from smartrouter_serve.types import Candidate, Decision, Model, Price, Prior, Think

_BARS = {"cheap": 0.5, "fast": 0.6, "balanced": 0.7}
"""P(the answer is good) that a policy asks for; `best` asks for the most there is."""
_CAP = {"cheap": 2, "fast": 4, "balanced": 4, "best": 10}
"""How many times the chosen model's expected cost a fallback may cost."""
_CAP_FLOOR_NANOS = 1_000_000
"""A tenth of a cent: so little that a fallback may always cost it."""
_FALLBACKS = 5
_LEAST_OUTPUT = 32
"""Output tokens under which an answer is not worth asking for."""
_LEAST_THINKING = 512
_EASY = 0.4
"""The complexity at which a prior holds as it is."""
_SLOPE = 2.0
"""Log-odds that one unit of complexity takes from every model."""
_UNKNOWN_QUALITY = Prior(value=0.5, source="no figure: an even chance")
_BEST_MARGIN = 0.01
_OVER = "over budget"


class Option(NamedTuple):
    """A model as it stands at the moment of the decision; a tuple, since it is quickly made."""

    model: Model
    price: Price | None
    speed: Speed | None = None
    obstacle: str = ""
    """Why it cannot be called now: no key, denied region, open circuit."""
    left_nanos: int | None = None
    """What its budgets leave; None without a budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the caller wants."""

    policy: str = "balanced"
    budget_nanos: int | None = None
    max_latency: float | None = None
    max_tokens: int | None = None
    think: Think = "off"
    pinned: str = ""
    """Id of the one model that may answer."""


@dataclass(slots=True)
class _Judged:
    """An option with its figures; not frozen, since a decision makes one of every model."""

    option: Option
    tokens: estimate.Tokens
    quality: Prior
    latency: float
    cost: int | None
    excluded: str

    @property
    def model(self) -> str:
        return self.option.model.id

    def row(self, wish: Wish, verdict: str) -> Candidate:
        """The candidate that a person sees."""
        price, tokens, model = self.option.price, self.tokens, self.option.model
        p90 = bound = None
        if price is not None:
            limit = min(wish.max_tokens or model.max_output, model.max_output)
            p90 = price.plain_nanos(tokens.input, tokens.output_p90)
            bound = price.bound_nanos(tokens.input_bound, limit)
        return Candidate(
            model=model.id,
            quality=self.quality.value,
            quality_source=self.quality.source,
            cost_nanos=self.cost,
            cost_p90_nanos=p90,
            bound_nanos=bound,
            latency=self.latency,
            excluded=self.excluded,
            verdict=verdict,
        )


def quality(model: Model, features: Features) -> Prior:
    """P(the model's answer is good): its prior for the intent, moved by the complexity."""
    prior = model.quality.get(features.intent) or model.quality.get("general", _UNKNOWN_QUALITY)
    value = min(max(prior.value, 0.001), 0.999)
    odds = math.log(value / (1 - value)) - _SLOPE * (features.complexity - _EASY)
    return Prior(value=1 / (1 + math.exp(-odds)), source=prior.source)


def least_output(model: Model, wish: Wish) -> int:
    """Output tokens under which a call to `model` is not worth making."""
    least = _LEAST_THINKING if estimate.thinks(model, wish.think) else _LEAST_OUTPUT
    return min(least, wish.max_tokens or least)


def _obstacle(option: Option, features: Features, wish: Wish, tokens: estimate.Tokens) -> str:
    """The first constraint that the option fails, in words; empty if it fails none."""
    model = option.model
    if wish.pinned and model.id != wish.pinned:
        return f"-m pins {wish.pinned}"
    if option.obstacle:
        return option.obstacle
    if lacking := features.needs - model.capabilities:
        return f"cannot do {', '.join(sorted(lacking))}"
    if tokens.input + least_output(model, wish) > model.context:
        return f"context too small: {tokens.input:,} of {model.context:,} tokens"
    return _money_obstacle(option, wish, tokens)


def _money_obstacle(option: Option, wish: Wish, tokens: estimate.Tokens) -> str:
    limits = [n for n in (wish.budget_nanos, option.left_nanos) if n is not None]
    if not limits:
        return ""
    if option.price is None:
        return "price unknown, and a budget applies"
    least = option.price.bound_nanos(tokens.input_bound, least_output(option.model, wish))
    if least > min(limits):
        whose = "the call's budget" if wish.budget_nanos == min(limits) else "its budget"
        return f"{_OVER}: needs {show(least)}, {whose} leaves {show(min(limits))}"
    return ""


def _judge(option: Option, features: Features, wish: Wish) -> _Judged:
    model, price = option.model, option.price
    tokens = estimate.tokens(features, model, wish.think, wish.max_tokens)
    seconds = estimate.latency(model, option.speed, tokens.output)
    excluded = _obstacle(option, features, wish, tokens)
    if not excluded and wish.max_latency is not None and seconds > wish.max_latency:
        excluded = f"too slow: {seconds:.1f} s expected, {wish.max_latency:g} s allowed"
    return _Judged(
        option=option,
        tokens=tokens,
        quality=quality(model, features),
        latency=seconds,
        cost=None if price is None else price.plain_nanos(tokens.input, tokens.output),
        excluded=excluded,
    )


def _cost_key(judged: _Judged) -> float:
    """Expected cost; an unknown price sorts behind every known one."""
    return math.inf if judged.cost is None else judged.cost


def _bar(policy: str, allowed: Sequence[_Judged]) -> float:
    best = max(j.quality.value for j in allowed)
    if policy == "best":
        return best - _BEST_MARGIN
    if policy in _BARS:
        return _BARS[policy]
    number = float(policy)
    bar = _BARS["cheap"] + number * (1 - _BARS["cheap"])
    return best - _BEST_MARGIN if number == 1 else bar


def _rank(policy: str, bar: float, allowed: Sequence[_Judged]) -> list[_Judged]:
    """Those that clear the bar by the policy's own order, then the rest from the best down."""

    def order(judged: _Judged) -> tuple[float, float, float]:
        if policy == "fast":
            return (judged.latency, _cost_key(judged), -judged.quality.value)
        return (_cost_key(judged), -judged.quality.value, judged.latency)

    clear = sorted((j for j in allowed if j.quality.value >= bar), key=order)
    rest = (j for j in allowed if j.quality.value < bar)
    return clear + sorted(rest, key=lambda j: (-j.quality.value, _cost_key(j)))


def _cap(policy: str, wish: Wish, chosen: _Judged) -> int | None:
    if chosen.cost is None:
        return None
    factor = _CAP.get(policy, _CAP["balanced"])
    cap = max(chosen.cost * factor, _CAP_FLOOR_NANOS)
    return cap if wish.budget_nanos is None else min(cap, wish.budget_nanos)


def _fallbacks(ranked: Sequence[_Judged], cap: int | None) -> tuple[str, ...]:
    """The ranking behind the chosen one, without what costs more than the cap."""
    if cap is None:
        return ()
    return tuple(j.model for j in ranked[1:] if _cost_key(j) <= cap)[:_FALLBACKS]


def _verdict(
    judged: _Judged, chosen: _Judged, bar: float, cap: int | None, too_dear: str, policy: str
) -> str:
    """Why it was or was not chosen; `too_dear` is said of those over the cap."""
    if judged.excluded:
        return judged.excluded
    if judged is chosen:
        return "chosen"
    if judged.quality.value < bar:
        return f"below the bar: {judged.quality.value:.2f} of {bar:.2f}"
    if judged.cost is None:
        return "price unknown"
    if cap is not None and judged.cost > cap:
        return too_dear
    return "slower" if policy == "fast" and judged.latency > chosen.latency else "dearer or equal"


def _reason(
    chosen: _Judged, features: Features, wish: Wish, bar: float, judged: Sequence[_Judged]
) -> str:
    good = chosen.quality.value
    rivals = sum(j.quality.value >= bar and not j.excluded for j in judged)
    spent = sum(j.quality.value > good and j.excluded.startswith(_OVER) for j in judged)
    price = "free" if chosen.cost == 0 else f"about {show(chosen.cost)}"
    tail = f"({good:.2f} for {features.intent}), {price}, {chosen.latency:.1f} s"
    if wish.pinned:
        return f"{chosen.model} was pinned {tail}."
    why = f"; {spent} better ones are over budget" if spent else ""
    if good < bar:
        return (
            f"No model that is allowed reaches {bar:.2f}: {chosen.model} is the best {tail}{why}."
        )
    kind = {"fast": "fastest", "best": "best"}.get(wish.policy, "cheapest")
    return f"{chosen.model} is the {kind} of {rivals} that reach {bar:.2f} {tail}{why}."


_NO_LLAMA = "llama.cpp is not installed"
_CAN_BE_MENDED = ("no key", "not downloaded", _NO_LLAMA)
"""Obstacles behind whose colon stands the way to mend them."""


def _no_candidate(judged: Sequence[_Judged], pinned: str) -> NoCandidate:
    """The error for a call that no model may answer, with the reasons counted."""
    if pinned:
        why = next(j.excluded for j in judged if j.model == pinned)
        kind, _, way = why.partition(": ")
        if kind in _CAN_BE_MENDED:
            return NoCandidate(
                f"{pinned} cannot answer: {kind}.",
                f"Mend that: {way}. Or leave -m out, and another model answers.",
            )
        return NoCandidate(
            f"{pinned} cannot answer: {why}.",
            "Mend that, or leave -m out and another model answers.",
        )
    kinds = Counter(one.excluded.partition(":")[0] for one in judged)
    counts = "; ".join(f"{count} × {kind}" for kind, count in kinds.most_common(4))
    ways = (one.excluded.partition(": ") for one in judged)
    install = next((f"Install it: {way}. " for kind, _, way in ways if kind == _NO_LLAMA), "")
    return NoCandidate(
        f"No model can answer this ({counts or 'the catalog is empty'}).",
        f"{install}Get a local model, 98 MB and no key, with `smartrouter local pull smollm2`, or "
        "set a key with `smartrouter keys set openrouter`.",
    )


def decide(features: Features, options: Sequence[Option], wish: Wish) -> Decision:
    """Rank `options` for a prompt of these features.

    Raises `NoCandidate` where every option fails a constraint.
    """
    judged = [_judge(option, features, wish) for option in options]
    allowed = [j for j in judged if not j.excluded]
    if not allowed:
        raise _no_candidate(judged, wish.pinned)
    bar = _bar(wish.policy, allowed)
    ranked = _rank(wish.policy, bar, allowed)
    chosen = ranked[0]
    cap = _cap(wish.policy, wish, chosen)
    rest = [j for j in judged if j.excluded]
    too_dear = f"dearer, and over the cap of {show(cap)} for a fallback"
    return Decision(
        model=chosen.model,
        fallbacks=() if wish.pinned else _fallbacks(ranked, cap),
        reason=_reason(chosen, features, wish, bar, judged),
        intent=features.intent,
        intent_probability=features.intent_probability,
        complexity=features.complexity,
        policy=wish.policy,
        bar=bar,
        input_tokens=chosen.tokens.input,
        input_bound=chosen.tokens.input_bound,
        output_tokens=chosen.tokens.output,
        output_tokens_p90=chosen.tokens.output_p90,
        cap_nanos=cap,
        candidates=tuple(
            j.row(wish, _verdict(j, chosen, bar, cap, too_dear, wish.policy))
            for j in (*ranked, *rest)
        ),
    )
