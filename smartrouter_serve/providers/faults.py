"""From a provider's error body to the classes of `errors`.

The status alone does not tell: an empty balance comes as 402, 429, 400 or 200. So a vendor's own
codes are looked up first, and the status decides only what the codes do not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from smartrouter_serve.errors import (
    RUN_AGAIN,
    AuthError,
    BadRequest,
    BillingError,
    ContentFiltered,
    ContextOverflow,
    ModelMissing,
    Overloaded,
    ProviderError,
    RateLimited,
    TruncatedStream,
)

Kind = type[ProviderError]
_LONGEST_COOLING = 3_600.0
"""Seconds: what a provider asks for beyond an hour is not believed, but asked again."""
_LONGEST_WAIT = 120.0
"""Seconds: a longer `Retry-After` is not waited for."""
_OVERFLOW = re.compile(
    r"context.{0,20}(length|window|size)|maximum context|too many tokens|prompt is too long"
    r"|range of input length|exceeds? (?:the )?(?:model's )?(?:available )?context",
    re.IGNORECASE,
)
_SECRET = re.compile(r"\b(?:sk|key)-[\w-]{6,}|Bearer\s+\S+", re.IGNORECASE)

_REMEDY: dict[Kind, str] = {
    RateLimited: "Wait a little, or leave -m out and let another model answer.",
    Overloaded: "Run it again later, or another model with -m; `smartrouter models` lists them.",
    BillingError: "Top up the account, or leave -m out: another provider is asked then.",
    ModelMissing: "`smartrouter models --refresh` reads the provider's list of models anew.",
    ContextOverflow: "Shorten the prompt, or use a model with a larger window: "
    "`smartrouter models` shows them.",
    ContentFiltered: "Word it differently, or pin a model of another provider with -m.",
    BadRequest: "Change the options or the prompt; another model would refuse it, too.",
    TruncatedStream: RUN_AGAIN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a provider said of a failure, whatever its envelope."""

    status: int
    code: str
    message: str
    type: str = ""
    metadata: Mapping[str, Any] | None = None
    retry_after: float | None = None
    """Seconds that the body itself asks to wait."""


def read(status: int, body: Mapping[str, Any]) -> Fault:
    """Find code and message in the envelopes of OpenAI, its kin, and the native ones."""
    error = body.get("error")
    if isinstance(error, str):
        return Fault(status=status, code="", message=error)
    if not isinstance(error, Mapping):
        base = body.get("base_resp")
        if isinstance(base, Mapping):
            code, message = base.get("status_code"), base.get("status_msg")
            return Fault(status=status, code=str(code or ""), message=str(message or ""))
        error = body
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else None
    availability = error.get("availability")
    wait = availability.get("retry_after") if isinstance(availability, Mapping) else None
    message = str(error.get("message") or "")
    if metadata and isinstance(metadata.get("raw"), str):
        message = f"{message}: {metadata['raw']}"
    return Fault(
        status=status,
        code=str(error.get("code") or ""),
        message=message,
        type=str(error.get("type") or ""),
        metadata=metadata,
        retry_after=_number(wait),
    )


def by_status(fault: Fault) -> Kind:
    """The class that a status means where the vendor's code says nothing."""
    if fault.status in (400, 413, 422) and _OVERFLOW.search(fault.message):
        return ContextOverflow
    table: dict[int, Kind] = {
        400: BadRequest,
        401: AuthError,
        402: BillingError,
        403: AuthError,
        404: ModelMissing,
        408: Overloaded,
        409: Overloaded,
        413: BadRequest,
        422: BadRequest,
        434: AuthError,
        429: RateLimited,
        499: Overloaded,
    }
    if fault.status in table:
        return table[fault.status]
    return BadRequest if 400 <= fault.status < 500 else Overloaded


def retry_after(headers: Mapping[str, str], now: float, fault: Fault) -> float | None:
    """Seconds that the provider asked to wait: `Retry-After` as seconds or a date, or a reset.

    `X-RateLimit-Reset` is epoch milliseconds, as a header or inside `error.metadata.headers`.
    """
    seconds = _number(headers.get("retry-after"))
    if seconds is None:
        seconds = _until(headers.get("retry-after"), now)
    if seconds is None:
        seconds = fault.retry_after
    if seconds is None:
        nested = (fault.metadata or {}).get("headers")
        told = nested.get("X-RateLimit-Reset") if isinstance(nested, Mapping) else None
        reset = _number(headers.get("x-ratelimit-reset") or told)
        seconds = None if reset is None else reset / 1_000 - now
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_COOLING)


def _number(text: object) -> float | None:
    """A finite number of a header, or None."""
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(date: str | None, now: float) -> float | None:
    try:
        return parsedate_to_datetime(date or "").timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None


def explain(
    kind: Kind, title: str, fault: Fault, wait: float | None, auth_remedy: str
) -> ProviderError:
    """The error with one readable line; what looks like a key is masked."""
    said = _SECRET.sub("***", " ".join(fault.message.split()))[:240].rstrip(". ")
    code = f" ({fault.code})" if fault.code and fault.code not in said else ""
    verb = {
        AuthError: "refused the key",
        BillingError: "has no balance or quota left",
        RateLimited: "asks to slow down",
        ModelMissing: "does not serve this model",
        ContextOverflow: "says that the prompt is too long",
        ContentFiltered: "filtered the content",
        BadRequest: "refused the request",
    }.get(kind, "failed")
    message = f"{title} {verb}{code}: {said}." if said else f"{title} {verb}{code}."
    remedy = auth_remedy if kind is AuthError else _REMEDY[kind]
    if wait is not None and wait > _LONGEST_WAIT:
        remedy = (
            f"It asks to wait {wait / 60:.0f} minutes: use another model until then, without -m."
        )
    return kind(message, remedy, wait, fault.code)
