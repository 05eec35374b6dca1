"""How a figure of the day's report is written: the same on the page and on the terminal.

Thousands are separated by commas, a negative number carries a real minus sign, and a figure never stands
without its unit. What is missing is said in words by the caller; a number that is not finite is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from engine.errors import NonFiniteValue
from engine.report import BridgeRow, BridgeView

MINUS = "\u2212"
NO_BREAK = "\u00a0"
_MOST_DECIMALS = 6

_SLEEVES: Mapping[str, str] = {
    "core_index_rv": "Core index RV",
    "sector_rv": "Sector RV",
    "single_name": "Single names",
    "credit_carry": "Credit carry",
    "crisis_alpha": "Crisis alpha",
    "cash_buffer": "Cash buffer",
    "fx_hedge": "FX hedge",
    "unassigned": "Unassigned",
}
_COMPONENTS: Mapping[str, str] = {
    "price": "Prices",
    "fx": "Currencies",
    "dividends": "Dividends",
    "interest": "Interest",
    "borrow": "Borrow",
    "fees": "Fees",
    "taxes": "Taxes",
    "flows": "Capital flows",
    "adjustments": "Adjustments",
}
_PURPOSES: Mapping[str, str] = {"hedge_fx": "FX hedge", "hedge_tail": "tail hedge", "derisk": "de-risking"}
_CLEARED = ("RESOLVED", "CONSUMED")


def amount(value: Decimal | float, decimals: int = 2, *, signed: bool = False) -> str:
    """A number with separated thousands; more decimals only when a non-zero number would read as zero.

    Raises `NonFiniteValue` on NaN and infinities.
    """
    exact = value if isinstance(value, Decimal) else Decimal(f"{value:.12g}")
    if not exact.is_finite():
        raise NonFiniteValue(f"expected a finite number in the report, found {value}")
    places = decimals
    while exact and places < _MOST_DECIMALS and not _rounded(exact, places):
        places += 1
    rounded = _rounded(exact, places)
    if not rounded:
        return f"{rounded.copy_abs():,.{decimals}f}"
    sign = MINUS if rounded < 0 else "+" if signed else ""
    return f"{sign}{rounded.copy_abs():,.{places}f}"


def _rounded(value: Decimal, places: int) -> Decimal:
    # Formatting, unlike quantize and abs, does not round to the 28 digits of the context.
    return Decimal(f"{value:.{places}f}")


def plain(value: Decimal) -> str:
    """An exact quantity or price: all of its digits, no trailing zeros, separated thousands."""
    if not value.is_finite():
        raise NonFiniteValue(f"expected a finite number in the report, found {value}")
    whole, _, fraction = f"{value.copy_abs():,f}".partition(".")
    fraction = fraction.rstrip("0")
    sign = MINUS if value < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def signed_quantity(value: Decimal) -> str:
    """A change of holding: plus for a purchase, minus for a sale."""
    return f"+{plain(value)}" if value > 0 else plain(value)


def usd(value: Decimal, decimals: int = 2, *, signed: bool = False) -> str:
    """An amount of US dollars with its unit."""
    return f"{amount(value, decimals, signed=signed)}{NO_BREAK}USD"


def percent(fraction: Decimal | float, decimals: int = 2, *, signed: bool = False) -> str:
    """A fraction in per cent with its unit."""
    scaled = fraction * 100
    return f"{amount(scaled, decimals, signed=signed)}{NO_BREAK}%"


def bps(value: float, *, signed: bool = False) -> str:
    """Basis points with their unit."""
    return f"{amount(value, 1, signed=signed)}{NO_BREAK}bps"


def ratio(part: Decimal, whole: Decimal | None) -> Decimal | None:
    """Part of a whole; ``None`` when there is no whole to compare with."""
    return part / whole if whole else None


def share(part: Decimal, whole: Decimal | None) -> str:
    """Part of NAV in per cent, or why it can not be said."""
    fraction = ratio(part, whole)
    return "NAV not yet valued" if fraction is None else f"{percent(fraction, 1)} of NAV"


def compact(value: Decimal | float, *, signed: bool = False) -> str:
    """A number for the margin of a chart: 12.3 M, 45.6 k, 789."""
    number = float(value)
    for limit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit * 0.9995:
            return f"{amount(number / limit, 2 if letter != 'k' else 1, signed=signed)}{NO_BREAK}{letter}"
    return amount(number, 0 if number == round(number) else 2, signed=signed)


def sleeve_name(name: str) -> str:
    """A sleeve as a person says it."""
    return _SLEEVES.get(name, sentence(name))


def sleeve_rank(name: str) -> tuple[int, str]:
    """Order in which sleeves are told; unknown ones last, by name."""
    return _rank(tuple(_SLEEVES), name)


def component_rank(name: str) -> tuple[int, str]:
    """Order in which the components of the NAV bridge are told; unknown ones last, by name."""
    return _rank(tuple(_COMPONENTS), name)


def bridge_rows(bridge: BridgeView) -> list[BridgeRow]:
    """Rows of the bridge in the order in which they are told."""
    return sorted(bridge.rows, key=lambda row: component_rank(row.component))


def _rank(known: tuple[str, ...], name: str) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)


def component_name(name: str) -> str:
    """A component of the NAV bridge as a person says it."""
    return _COMPONENTS.get(name, sentence(name))


def purpose_name(name: str) -> str:
    """The reason for which a trade exists, as a person says it."""
    return _PURPOSES.get(name, name.replace("_", " "))


def sentence(name: str) -> str:
    """A technical name as words with a capital."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def opened(text: str) -> str:
    """A sentence with a capital, unless it starts with a technical name."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return f"{text[:1].upper()}{text[1:]}" if first.isalpha() and first.islower() else text


def counted(number: int, what: str) -> str:
    """A number of things: one line, two lines."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def day_text(day: date) -> str:
    """A date with its weekday, as in ``Monday 24 February 2020``."""
    return f"{day:%A} {day.day} {day:%B %Y}"


def minute_text(at: datetime) -> str:
    """A time to the minute, in UTC."""
    return f"{at.astimezone(UTC):%H:%M}{NO_BREAK}UTC"


def second_text(at: datetime) -> str:
    """A time to the second, in UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S}{NO_BREAK}UTC"


def is_open(status: str) -> bool:
    """Whether a halt of this status still stops trading."""
    return status.upper() not in _CLEARED


def resolve_command(halt_id: str, choice: str) -> str:
    """The line that answers a halt."""
    return f'./fund resolve {halt_id} --choice {choice} --reason "why"'
