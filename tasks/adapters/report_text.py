"""How a figure of the day's report is written: the same on the page and on the terminal.

Thousands are separated by commas, a negative number carries a real minus sign, and a figure never stands
without its unit. What is missing is said in words by the caller; a number that is not finite is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from engine.accounting.uncharged import NavEstimate
from engine.errors import NonFiniteValue
from engine.model.halts import CHOICE_MEANINGS, HALT_NAMES, HaltChoice
from engine.report import (
    NOT_COMPARED,
    BreakRow,
    BridgeRow,
    BridgeView,
    DayReport,
    ExposureRow,
    FlaggedPrice,
    HaltView,
    PositionRow,
    PriceFact,
    RiskView,
)

MOST_ORDERS_NAMED = 5
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
_REASONS: Mapping[str, str] = {
    "rebalance": "rebalance",
    "roll": "roll into the next contract",
    "hedge_fx": "currency hedge",
    "hedge_tail": "tail hedge",
    "derisk": "de-risking",
    "limit_breach": "limit breach",
    "crisis": "crisis playbook",
    "overlay_open": "overlay opened",
    "overlay_unwind": "overlay unwound",
    "rollback": "rolled back with its group",
    "close": "closing",
    "override": "exempt from the gate",
    "benefit_exceeds_cost": "worth its cost",
    "drift_below_minimum": "the drift is below the minimum",
    "cost_exceeds_benefit": "the cost exceeds the benefit",
}
_IN_CONTRACTS = ("crisis_alpha", "fx_hedge")
_GROUPS: Mapping[str, str] = {
    "strategy": "Strategy",
    "single": "Single name",
    "tail": "Tail hedges",
    "fx": "FX hedge",
    "core": "Core index RV",
    "sector": "Sector RV",
    "credit": "Credit carry",
}
_HALT_NAMES = {kind.value: name for kind, name in HALT_NAMES.items()}
_CHOICE_MEANINGS = {choice.value: meaning for choice, meaning in CHOICE_MEANINGS.items()}
_PRICED = (HaltChoice.MARK_MANUALLY.value, HaltChoice.WRITE_DOWN.value)
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


def unhedged_text(report: DayReport) -> str:
    """What executed legs of groups stood open without the others, and for how long."""
    value = report.unhedged_usd_seconds
    return "not known before the windows end" if value is None else f"{amount(value, 0)}{NO_BREAK}USD × s"


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
    return _REASONS.get(name, name.replace("_", " "))


def reason_text(reason: str) -> str:
    """Why a trade was done or not, as a sentence: a code becomes words, what stands around it stays."""
    head, end, rest = reason.partition(";")
    stage, colon, code = head.rpartition(": ")
    first, _, following = stage.partition(": ")
    stage = following if following.startswith(first) else stage
    told = f"{stage}{colon}{_REASONS.get(code, code)}{end}{rest}"
    # An instrument's name stays as it is written.
    return told[:1].upper() + told[1:] if told.partition(" ")[0].rstrip(":;").isalpha() else told


def price_text(price: Decimal, unit: str) -> str:
    """A price with its unit; of a large one no more than four decimals, which is all that an adjusted price knows."""
    return f"{plain(_rounded(price, 4) if abs(price) >= 10 else price)}{NO_BREAK}{unit}"


def residual_text(residual: Decimal, *, signed: bool = False) -> str:
    """What a bridge leaves unexplained, to the cent: below it stand the roundings of its parts."""
    return amount(_rounded(residual, 2), signed=signed)


def group_name(group: str) -> str:
    """Orders that belong together, as in ``Single name AAPL`` for ``strategy/single:AAPL``."""
    kind, _, member = group.rpartition("/")[2].partition(":")
    said = _GROUPS.get(kind) or sleeve_name(kind)
    return f"{said} {member}" if member else said


def control_text(risk: RiskView) -> str:
    """Whether new risk may be taken on the day, and who said so."""
    if risk.abandoned:
        return "the day was abandoned by an operator: only reductions are traded"
    return "only reductions are allowed" if risk.reduce_only else "increases are allowed"


def gross_wanted_text(row: ExposureRow, positions: Sequence[PositionRow]) -> str:
    """Gross exposure that a sleeve should have in USD, or who decides it instead."""
    if row.target_gross_usd is not None:
        return amount(row.target_gross_usd, 0)
    if all(position.target_quantity is None for position in positions):
        return "not decided"
    return "set in contracts" if row.name in _IN_CONTRACTS else "no target"


def target_text(row: PositionRow) -> str:
    """The quantity that a decision wants, or that there is none."""
    if row.target_quantity is not None:
        return plain(row.target_quantity)
    return "no target" if row.note else "not decided"


def target_weight_text(row: PositionRow) -> str:
    """The weight that a decision wants, or why there is none."""
    if row.target_weight is not None:
        return amount(row.target_weight * 100)
    return target_text(row) if row.target_quantity is None else "not valued"


def sentence(name: str) -> str:
    """A technical name as words with a capital."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def opened(text: str) -> str:
    """A sentence with a capital, unless it starts with a technical name."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return f"{text[:1].upper()}{text[1:]}" if first.isalpha() and first.islower() else text


def paragraph(text: str) -> str:
    """A text as a paragraph: a capital in front, one full stop at the end."""
    return f"{opened(text.rstrip('. '))}."


def counted(number: int, what: str) -> str:
    """A number of things: one line, two lines."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def estimate_text(name: str, estimate: NavEstimate) -> str:
    """Why a NAV is an estimate: how many executions of which orders stand without a commission, and what was taken."""
    rows = estimate.uncharged
    orders = sorted({row.order_ref for row in rows})
    more = f" and {len(orders) - MOST_ORDERS_NAMED} more" if len(orders) > MOST_ORDERS_NAMED else ""
    notional, expected = sum(row.notional_usd for row in rows), sum(row.expected_usd for row in rows)
    return (
        f"{name} is an estimate: {counted(len(rows), 'execution')} for {usd(Decimal(notional))} without a commission, "
        f"of {', '.join(orders[:MOST_ORDERS_NAMED])}{more}; {usd(Decimal(expected))} are taken for it until the "
        "broker tells it"
    )


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


def resolve_command(
    halt_id: str, choice: str, *, is_emergency: bool = False, subjects: Sequence[str] = ()
) -> str:
    """The line that answers a halt; ``subjects`` are the contracts in question, for choices that need a price."""
    named = subjects[0] if len(subjects) == 1 else "CONTRACT"
    price = f" --mark {named}=PRICE" if choice in _PRICED else ""
    operator = " --operator NAME" if is_emergency else ""
    return f'./fund resolve {halt_id} --choice {choice}{price}{operator} --reason "why"'


def halt_command(halt: HaltView, choice: str) -> str:
    """The line that gives one of a halt's answers."""
    subjects = tuple(dict.fromkeys(row.subject for row in halt.evidence))
    is_emergency = halt.severity == "EMERGENCY"
    return resolve_command(halt.halt_id, choice, is_emergency=is_emergency, subjects=subjects)


def halt_name(kind: str) -> str:
    """A kind of halt as a person says it."""
    return _HALT_NAMES.get(kind, sentence(kind.replace("-", " ")))


def evidence_text(row: BreakRow) -> str:
    """One fact behind a halt as a sentence, for the terminal."""
    if row.price is not None:
        return _price_text(row.subject, row.price, row.explanation)
    difference = "" if row.difference_usd is None else f", difference {usd(row.difference_usd, signed=True)}"
    compared = row.ours if row.broker == NOT_COMPARED else f"ours {row.ours}, broker {row.broker}"
    return f"{row.subject}: {compared}{difference}. {opened(row.explanation)}."


def _price_text(subject: str, fact: PriceFact, explanation: str) -> str:
    age = "" if fact.age is None else f"{age_text(fact)} old (limit {fact.limit}), "
    return f"{subject}: {age}last good {last_good_text(fact)}, exposure {exposure_text(fact)}. {opened(explanation)}."


def age_text(fact: PriceFact) -> str:
    """Age of a price with its unit."""
    if fact.age is None:
        return "not a matter of age"
    return f"{amount(fact.age, 0 if fact.age == int(fact.age) else 1)}{NO_BREAK}{fact.age_unit}"


def last_good_text(fact: PriceFact) -> str:
    """The last good price, its unit and its date."""
    if fact.last_price is None:
        return "price not known"
    of = "" if fact.last_date is None else f" of {fact.last_date}"
    return f"{plain(fact.last_price)}{NO_BREAK}{fact.unit}{of}"


def exposure_text(fact: PriceFact) -> str:
    """What hangs on a price, in USD and as a share of NAV."""
    if fact.exposure_usd is None:
        return "not valued"
    part = "" if fact.nav_fraction is None else f" ({percent(fact.nav_fraction)} of NAV)"
    return f"{usd(fact.exposure_usd)}{part}"


def choice_meaning(choice: str) -> str:
    """What an answer to a halt does, in a few words."""
    return _CHOICE_MEANINGS.get(choice, sentence(choice.replace("-", " ")))


def flagged_cells(row: FlaggedPrice) -> tuple[str, str, str, str, str, str, str]:
    """A doubtful price: contract, why, price, its date and age, what it was compared with, exposure, effect on NAV."""
    aged = "" if row.age_sessions == 0 else f", {counted(row.age_sessions, 'session')} old"
    return (
        row.contract_id,
        row.flag.value,
        plain(row.price),
        "now" if row.session_date is None else f"{row.session_date}{aged}",
        "nothing" if row.reference is None else plain(row.reference),
        amount(row.exposure_usd, 0),
        "none of itself" if row.effect_usd is None else amount(row.effect_usd, 0, signed=True),
    )
