"""Every failure that Smart Router can report.

    SmartRouterError
    ├── UsageError               what was asked cannot be done as asked (exit status 2)
    │   ├── ConfigError          smartrouter.toml or the environment is wrong
    │   └── UnknownModel         no such model, group or variant
    ├── Refused                  a rule of the user's own said no (exit status 3)
    │   ├── BudgetExceeded       a hard budget, or the call's own, cannot hold the call
    │   │   └── BudgetOnHold     only running calls' reservations stand in the way
    │   └── NoCandidate          no model satisfies every constraint
    ├── StoreError               the ledger or another store cannot be read or written
    ├── Stopped                  the person stopped it; what was used is in the ledger
    ├── Unreachable              the gateway behind `connect(url)` does not answer
    ├── LocalModelError          the local model is missing, broken or would not start
    └── ProviderError            the upstream failed; the classes of providers.md, section 8
        ├── RateLimited          slow down; `retry_after` says for how long, where known
        ├── Overloaded           5xx, overload, time-out, no connection
        ├── BillingError         no balance left, or the plan's quota is used up
        ├── AuthError            the key is wrong, expired or not allowed
        ├── ModelMissing         the provider does not serve this model (any more)
        ├── ContextOverflow      the prompt is longer than the model's window
        ├── ContentFiltered      the provider blocked the prompt or the answer
        ├── BadRequest           the request is invalid and would fail elsewhere, too
        ├── TruncatedStream      the stream ended without saying that it was complete
        └── CircuitOpen          the model failed lately and is left alone for a while

Errors cross a seam as the value `Problem`, since an exception can lose its type over Ray.
`Problem.of(error)` and `Problem.error()` convert; the round trip keeps the class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

RUN_AGAIN = "Run it again, or another model with -m; `smartrouter models` lists them."
"""The remedy for an answer that broke off."""


class SmartRouterError(Exception):
    """Carry one clear line, and the remedy: what to do next."""

    exit_status = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(SmartRouterError):
    """What was asked cannot be done as asked."""

    exit_status = 2


class ConfigError(UsageError):
    """The configuration is wrong."""


class UnknownModel(UsageError):
    """No model, group or variant has this name."""


class Refused(SmartRouterError):
    """A budget, quota or policy of the user's own said no."""

    exit_status = 3


class BudgetExceeded(Refused):
    """A hard budget, or the call's own, cannot hold the call's upper bound."""


class BudgetOnHold(BudgetExceeded):
    """Only the reservations of running calls stand in the way: waiting helps."""


class NoCandidate(Refused):
    """No model satisfies every constraint of the call."""


class StoreError(SmartRouterError):
    """A store cannot be read or written."""


class Stopped(SmartRouterError):
    """The person stopped it before its end."""


class Unreachable(SmartRouterError):
    """The gateway does not answer."""


class LocalModelError(SmartRouterError):
    """The local model is missing, broken or would not start."""


class ProviderError(SmartRouterError):
    """The upstream failed.

    The class attributes are the table of providers.md, section 8: whether the same provider is
    asked again, whether another one is, and whether the circuit breaker counts a failure.
    """

    retry = False
    fall_back = True
    trips_breaker = False
    provider_wide = False
    """The fault concerns every model of the provider, as a wrong key does."""

    def __init__(
        self, message: str, remedy: str = "", retry_after: float | None = None, code: str = ""
    ) -> None:
        super().__init__(message, remedy)
        self.args = (message, remedy, retry_after, code)
        self.retry_after = retry_after
        """Seconds that the provider asked to wait."""
        self.code = code
        """The provider's own error code."""


class RateLimited(ProviderError):
    """Too many requests or tokens for now."""

    retry = True


class Overloaded(ProviderError):
    """The provider is overloaded, broken or out of reach."""

    retry = True
    trips_breaker = True


class BillingError(ProviderError):
    """The balance or the plan's quota is used up: open long."""

    trips_breaker = True
    provider_wide = True


class AuthError(ProviderError):
    """The key is refused: open until the configuration changes."""

    trips_breaker = True
    provider_wide = True


class ModelMissing(ProviderError):
    """The provider does not serve this model."""


class ContextOverflow(ProviderError):
    """The prompt is longer than the window; only a larger one helps."""


class ContentFiltered(ProviderError):
    """The provider blocked the prompt or the answer; asking elsewhere is the user's choice."""

    fall_back = False


class BadRequest(ProviderError):
    """The request is invalid."""

    fall_back = False


class TruncatedStream(ProviderError):
    """The stream ended without a finish reason."""

    retry = True
    trips_breaker = True


class CircuitOpen(ProviderError):
    """The model failed lately and is left alone for a while; nothing was asked."""


def _classes(root: type[SmartRouterError]) -> dict[str, type[SmartRouterError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found.update(_classes(child))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as a value that survives JSON and pickle."""

    kind: str
    """The class name of the error in the tree above."""
    message: str
    remedy: str = ""
    retry_after: float | None = None
    code: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Problem:
        """Describe `error`; what is not ours is described by its type and first line."""
        if isinstance(error, ProviderError):
            return cls(
                kind=type(error).__name__,
                message=error.message,
                remedy=error.remedy,
                retry_after=error.retry_after,
                code=error.code,
            )
        if isinstance(error, SmartRouterError):
            return cls(kind=type(error).__name__, message=error.message, remedy=error.remedy)
        line = (str(error).splitlines() or [""])[0]
        return cls(
            kind="SmartRouterError",
            message=f"Unexpected {type(error).__name__}: {line}",
            remedy="This is a fault of Smart Router: please report it with what "
            "`smartrouter doctor` says.",
        )

    def error(self) -> SmartRouterError:
        """Rebuild the exception; a class of a newer version becomes its root."""
        cls = _classes(SmartRouterError).get(self.kind, SmartRouterError)
        if issubclass(cls, ProviderError):
            return cls(self.message, self.remedy, self.retry_after, self.code)
        return cls(self.message, self.remedy)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """The known name that `word` was likely meant to be; empty where none is near."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def did_you_mean(
    word: str, known: Iterable[str], *, cutoff: float = 0.5, write: Callable[[str], str] = repr
) -> str:
    """The beginning of a remedy that names the nearest known name; empty where none is near."""
    near = nearest(word, known, cutoff=cutoff)
    return f"Did you mean {write(near)}? " if near else ""
