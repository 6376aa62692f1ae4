"""The nouns: frozen values that every room shares.

Token counts form inclusive buckets, not disjoint ones: `Usage.input_tokens` includes the cached
and cache-written ones, `Usage.output_tokens` includes the reasoning ones. Amounts named `*_nanos`
are integer nano-dollars; amounts without that suffix are `Decimal` US dollars. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from smartrouter_serve.money import cost, dollars, nanos_up, priced

Role = Literal["system", "user", "assistant", "tool"]
Think = Literal["off", "low", "high"]
Finish = Literal["stop", "length", "tool_calls", "cancelled"]
Format = Literal["md", "text", "json", "code"]
_SHOWN = 60
"""Characters of an answer that its `repr` shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function that the model wants to be called."""

    id: str
    name: str
    arguments: str
    """JSON text, as OpenAI's schema has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a message: text, or an image by its `http(s)` or `data:` address."""

    text: str = ""
    image_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """The message's text; images left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if part.text)

    @property
    def images(self) -> int:
        """How many images the message holds."""
        return 0 if isinstance(self.content, str) else sum(bool(p.image_url) for p in self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a call used, in inclusive buckets."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Input tokens read from the provider's prompt cache."""
    cache_write_tokens: int = 0
    """Input tokens written to the provider's prompt cache."""
    reasoning_tokens: int = 0
    """Output tokens spent on thinking."""
    cost_nanos: int | None = None
    """What the provider itself says it charged."""
    estimated: bool = False
    """The provider gave no figures: counted from the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Pico-dollars a token, from `above` input tokens on.

    A tier's rates hold for the whole request, as every provider in prices.json bills it.
    """

    above: int = 0
    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    """Where thinking tokens have a price of their own."""

    @property
    def dearest_input(self) -> int:
        """The most that an input token can cost."""
        return max(self.input, self.cached_input or 0, self.cache_write or 0)

    @property
    def dearest_output(self) -> int:
        """The most that an output token can cost."""
        return max(self.output, self.reasoning or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs at one moment; `tiers` ascend by `above`, the first from 0."""

    tiers: tuple[Rates, ...]
    source: str
    as_of: str
    """The date that the figure was true, `YYYY-MM-DD` or `YYYY-MM`."""

    def rates(self, input_tokens: int) -> Rates:
        """The rates that hold for a request of so many input tokens."""
        found = self.tiers[0]
        for tier in self.tiers[1:]:
            if input_tokens > tier.above:
                found = tier
        return found

    def cost_nanos(self, usage: Usage) -> int:
        """What `usage` costs; the provider's own figure is not looked at."""
        rate = self.rates(usage.input_tokens)
        cached = min(usage.cached_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        thought = min(usage.reasoning_tokens, usage.output_tokens)
        return cost(
            [
                (usage.input_tokens - cached - written, rate.input),
                (cached, rate.input if rate.cached_input is None else rate.cached_input),
                (written, rate.input if rate.cache_write is None else rate.cache_write),
                (usage.output_tokens - thought, rate.output),
                (thought, rate.output if rate.reasoning is None else rate.reasoning),
            ]
        )

    def plain_nanos(self, input_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost where none is cached and none is thinking."""
        rate = self.rates(input_tokens)
        return nanos_up(input_tokens * rate.input + output_tokens * rate.output)

    def bound_nanos(self, input_tokens: int, output_tokens: int) -> int:
        """The most that a call can cost: every token at its side's dearest rate."""
        rate = self.rates(input_tokens)
        dearest = rate.dearest_input
        return nanos_up(input_tokens * dearest + output_tokens * rate.dearest_output)

    @property
    def free(self) -> bool:
        """Whether no call can cost anything."""
        return not any(tier.dearest_input or tier.dearest_output for tier in self.tiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """A figure and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of the catalog."""

    id: str
    """`provider/name`; the name may hold slashes itself."""
    context: int
    """Tokens that prompt and answer may have together."""
    max_output: int
    capabilities: frozenset[str] = frozenset()
    """Of `tools`, `images`, `json`, `json_schema`, `think`, `think_off`."""
    jurisdiction: str = ""
    """ISO country whose law the provider is under; empty for this machine."""
    origin: Literal["chinese", "western", "local", "other"] = "other"
    quality: Mapping[str, Prior] = field(default_factory=dict)
    """By intent, with `general` for what is not named: P(the answer is good)."""
    first_token: float = 1.0
    """Seconds to the first token, before anything was measured."""
    tokens_per_second: float = 50.0
    chars_per_token: float = 4.0
    thinking_tokens: int = 0
    """Thinking tokens to expect where thinking cannot be, or is not, switched off."""

    @property
    def provider(self) -> str:
        """The part before the first slash."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """The provider's own name for it."""
        return self.id.partition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model with fixed parameters: `local/smollm2-135m@temperature=0`."""

    model: str
    temperature: float | None = None
    max_tokens: int | None = None
    think: Think | None = None
    system: str | None = None

    @property
    def label(self) -> str:
        """How a person names it; two variants of one model differ in it."""
        given = [
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name in ("temperature", "max_tokens", "think", "system")
            if (value := getattr(self, name)) is not None
        ]
        return self.model + ("@" + ",".join(given) if given else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model as the decision saw it."""

    model: str
    quality: float = 0.0
    """P(the answer is good) for this prompt."""
    quality_source: str = ""
    cost_nanos: int | None = None
    """Expected cost; None where the price is unknown."""
    cost_p90_nanos: int | None = None
    """Cost that nine of ten such calls stay under."""
    bound_nanos: int | None = None
    """The most that it can cost."""
    latency: float = 0.0
    """Expected seconds to the end of the answer."""
    excluded: str = ""
    """Which constraint it failed; empty for one that could have been chosen."""
    verdict: str = ""
    """In a few words why it was chosen or lost."""

    @property
    def cost(self) -> Decimal | None:
        """Expected dollars."""
        return None if self.cost_nanos is None else dollars(self.cost_nanos)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The chosen model, its ranked fallbacks and the reason."""

    model: str
    fallbacks: tuple[str, ...] = ()
    """In the order in which they are tried; none is dearer than `cap_nanos`."""
    reason: str = ""
    """One plain sentence."""
    intent: str = "chat"
    intent_probability: float = 1.0
    complexity: float = 0.0
    policy: str = "balanced"
    bar: float = 0.0
    """The quality that the policy asked for."""
    input_tokens: int = 0
    output_tokens: int = 0
    """Estimated, median."""
    input_bound: int = 0
    """Input tokens that no tokenizer exceeds."""
    output_tokens_p90: int = 0
    cap_nanos: int | None = None
    """No fallback may be expected to cost more than this; None means no known price."""
    candidates: tuple[Candidate, ...] = ()
    seconds: float = 0.0
    """What the decision itself took."""

    def candidate(self, model: str) -> Candidate | None:
        """The row of `model`."""
        return next((c for c in self.candidates if c.model == model), None)

    def __repr__(self) -> str:
        rows = len(self.candidates)
        return f"Decision({self.model}, {self.policy}, {self.intent}, {rows} candidates)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, with what it cost."""

    id: str
    """The run's id, as the ledger and the request header have it."""
    text: str
    model: str
    """Who served it; this is whom the bill follows."""
    usage: Usage
    cost_nanos: int | None
    """None where the price is unknown."""
    decision: Decision
    baseline: str = ""
    """The model that savings are measured against."""
    baseline_nanos: int | None = None
    latency: float = 0.0
    first_token: float | None = None
    cached: bool = False
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    switched_from: tuple[str, ...] = ()
    """Models that failed on the way."""
    notes: tuple[str, ...] = ()
    """What the person should know: a capped answer, a budget that is nearly used up."""

    @property
    def cost(self) -> Decimal | None:
        """Dollars that the answer cost."""
        return None if self.cost_nanos is None else dollars(self.cost_nanos)

    @property
    def baseline_cost(self) -> Decimal | None:
        """Dollars that the baseline would have cost for the same tokens."""
        return None if self.baseline_nanos is None else dollars(self.baseline_nanos)

    @property
    def saved(self) -> Decimal | None:
        """Baseline cost minus cost: negative where the baseline was cheaper."""
        if self.cost_nanos is None or self.baseline_nanos is None:
            return None
        return dollars(self.baseline_nanos - self.cost_nanos)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        cached = ", cached" if self.cached else ""
        return f"Reply({_short(self.text)}, {self.model}, {priced(self.cost_nanos)}{cached})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One lane of a battle: a reply, or what went wrong."""

    label: str
    model: str
    reply: Reply | None = None
    error: str = ""
    cost_nanos: int | None = None
    """What it used, however it ended; None where a price is unknown."""

    @property
    def cost(self) -> Decimal | None:
        """Dollars of the lane."""
        return None if self.cost_nanos is None else dollars(self.cost_nanos)


@dataclass(frozen=True, slots=True, kw_only=True)
class Battle:
    """One prompt, several contestants."""

    id: str
    prompt: str
    contestants: tuple[Contestant, ...]
    converge: str = "none"
    reply: Reply | None = None
    """The one answer, where convergence was asked for."""
    verdict: str = ""
    """Who won and by what, in one sentence."""
    winner: str = ""
    """The label of the winning contestant."""
    cost_nanos: int | None = None
    """Contestants and convergence together; None where one price is unknown."""
    blind: bool = False

    @property
    def cost(self) -> Decimal | None:
        """Dollars of the whole battle."""
        return None if self.cost_nanos is None else dollars(self.cost_nanos)

    def __repr__(self) -> str:
        number, won = len(self.contestants), f", {self.winner} won" if self.winner else ""
        return f"Battle({self.id}, {number} contestants{won}, {priced(self.cost_nanos)})"


def _short(text: str) -> str:
    """The beginning of a text on one line; `repr` escapes what would drive a terminal."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
