"""Money: `Decimal` US dollars at the edges, integer nano-dollars inside.

Rates are integer pico-dollars a token, so that a price of $0.0605 a million tokens (60,500
pico-dollars a token) is exact, and a sum of tokens times rates is exact until it is rounded up
once, to a whole nano-dollar.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

PICOS_PER_NANO = 1_000


def nanos(dollars: Decimal | float | str) -> int:
    """Convert dollars to nano-dollars, rounding up; a float is read by its shortest repr.

    Raises `ValueError` for what is not a finite number.
    """
    try:
        value = dollars if isinstance(dollars, Decimal) else Decimal(str(dollars))
        return int((value * NANO).to_integral_value(rounding=ROUND_CEILING))
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ValueError(f"{dollars!r} is not an amount of money") from error


def dollars(amount: int) -> Decimal:
    """Convert nano-dollars to dollars, exactly."""
    return Decimal(amount).scaleb(-9) if amount else Decimal(0)


def show(amount: int | Decimal | None) -> str:
    """Write an amount (nano-dollars or dollars) for a person: `$0.0026`, `$1.20`, `unknown`."""
    if amount is None:
        return "unknown"
    value = dollars(amount) if isinstance(amount, int) else amount
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size == 0:
        return "$0"
    if size >= 1:
        return f"{sign}${size:,.2f}"
    digits = max(4, 1 - size.adjusted())
    return f"{sign}${size:.{min(digits, 9)}f}"


def priced(amount: int | Decimal | None) -> str:
    """As `show`, for what something cost: its price may be unknown."""
    return "price unknown" if amount is None else show(amount)


def cost(tokens_and_rates: list[tuple[int, int]]) -> int:
    """Sum tokens times pico-dollars a token and round up to nano-dollars, once."""
    return nanos_up(sum(tokens * rate for tokens, rate in tokens_and_rates))


def nanos_up(picos: int) -> int:
    """Whole nano-dollars of so many pico-dollars, rounded up."""
    return -(-picos // PICOS_PER_NANO)
