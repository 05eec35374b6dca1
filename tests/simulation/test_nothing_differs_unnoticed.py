"""Whatever happens at the broker: a difference of the two books is seen, and adopting the broker closes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accounting.adoption import adoption
from engine.accounting.ledger import LedgerEntry
from engine.accounting.sides import Evidence
from engine.model.market import Dividend
from engine.model.orders import Fill
from engine.simulation import interventions as acts
from engine.simulation.faults import ForeignTrade, add_trade
from tests.engine.simulation.exchange_world import FUTURE, MONDAY, utc
from tests.simulation.two_sides import BOOK, Comparison, at_six

D = Decimal
TUESDAY = MONDAY + timedelta(days=1)
PRICES = {"AAA": D(100), "PEN": D(250), FUTURE: D(5000), "EUR.USD": D("1.1")}
LIMIT_USD = D(1_000)
"""One basis point of the fund's ten millions."""

Act = tuple[str, str, int]


def _own_fill(two: Comparison, contract_id: str, number: int) -> Fill | None:
    found = [
        fill for fill in two.broker.executions() if fill.contract_id == contract_id and fill.quantity > 0
    ]
    return found[number % len(found)] if found else None


def _trade(two: Comparison, contract_id: str, number: int, ref: str | None) -> None:
    quantity = D(number * (100 if contract_id in ("AAA", "PEN") else 1))
    trade = ForeignTrade(contract_id=contract_id, quantity=quantity, price=PRICES[contract_id], order_ref=ref)
    add_trade(two.broker, "act", trade)


def _own(two: Comparison, contract_id: str, number: int) -> None:
    ref = f"AF1.{len(two.refs)}.0"
    two.refs.add(ref)
    _trade(two, contract_id, number, ref)
    two.book_new()


def _correct(two: Comparison, contract_id: str, number: int) -> None:
    found = _own_fill(two, contract_id, number)
    if found is not None:
        acts.change_execution(two.broker, "act", found.execution_id, D(abs(number) * 10), found.price)


def _bust(two: Comparison, contract_id: str, number: int) -> None:
    found = _own_fill(two, contract_id, number)
    if found is not None:
        acts.change_execution(two.broker, "act", found.execution_id, D(0), found.price)


def _withdraw(two: Comparison, contract_id: str, number: int) -> None:
    found = _own_fill(two, contract_id, number)
    if found is not None:
        acts.withdraw_execution(two.broker, "act", found.execution_id)


def _repeat(two: Comparison, contract_id: str, number: int) -> None:
    found = _own_fill(two, contract_id, number)
    if found is not None:
        acts.list_again(two.broker, "act", found.execution_id, book=number % 2 == 0)


def _split(two: Comparison, _: str, number: int) -> None:
    held = two.broker.state.quantity("AAA")
    if held != 0:
        acts.move_holding(two.broker, "act", "AAA", held * (abs(number) % 3))


ACTS: dict[str, Callable[[Comparison, str, int], None]] = {
    "fill": _own,
    "lost fill": lambda two, name, n: _trade(two, name, n, f"AF1.LOST{n}.0"),
    "foreign trade": lambda two, name, n: _trade(two, name, n, None),
    "correction": _correct,
    "bust": _bust,
    "withdrawal": _withdraw,
    "repetition": _repeat,
    "split": _split,
    "transfer": lambda two, name, n: acts.move_holding(two.broker, "act", "AAA", D(n * 10)),
    "conversion": lambda two, _, n: _trade(two, "EUR.USD", n * 1_000, None),
    "dividend": lambda two, _, n: acts.change_cash(
        two.broker, "act", "USD", two.broker.state.quantity("AAA") * D(n) / 100
    ),
    "promise": lambda two, _, n: acts.promise_cash(
        two.broker, f"act{n}", "PEN", D(n * 200), date(2024, 4, 2)
    ),
    "wire": lambda two, _, n: acts.change_cash(two.broker, "act", "GBP" if n % 2 else "USD", D(n * 97)),
}
_ACT = st.tuples(
    st.sampled_from(sorted(ACTS)), st.sampled_from(["AAA", "PEN", FUTURE]), st.integers(-40, 40).filter(bool)
)


def _apart(two: Comparison) -> tuple[dict[str, Decimal], dict[str, Decimal], dict[str, Decimal]]:
    """Quantities, cash with unsettled futures, and money owed: ours less the broker's, read from both books."""
    state, book = two.broker.state, two.portfolio
    held = {key: line.quantity for key, line in state.positions.items()}
    names = {*held, *(k for k, p in book.positions.items())}
    quantities = {name: book.quantity(name) - held.get(name, D(0)) for name in names}
    theirs = dict(state.cash.items())
    ours = dict(book.cash)
    for name, line in state.positions.items():
        if BOOK.instrument(name).is_future:
            theirs["USD"] = theirs.get("USD", D(0)) - line.futures_cost
    for name, position in book.positions.items():
        if BOOK.instrument(name).is_future:
            ours["USD"] = ours.get("USD", D(0)) - position.cost
    cash = {c: ours.get(c, D(0)) - theirs.get(c, D(0)) for c in {*ours, *theirs}}
    owed = dict(two.broker.snapshot(two.broker.now).accrued)
    promised = {c: book.accruals.get(c, D(0)) - owed.get(c, D(0)) for c in {*book.accruals, *owed}}
    return tuple(  # type: ignore[return-value]
        {key: value for key, value in found.items() if value != 0} for found in (quantities, cash, promised)
    )


def _adopted(two: Comparison) -> tuple[LedgerEntry, ...]:
    sides, _ = two.sides()
    report = two.compare()
    return adoption(sides, report, two.broker.now, "chosen", None, two.entries)


@given(acts_done=st.lists(_ACT, min_size=1, max_size=7), later=st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_sequence_of_events_leaves_the_books_apart_unnoticed(acts_done: list[Act], later: bool) -> None:
    two = Comparison.begin()
    two.trade(("AAA", 5_000), ("PEN", 50_000), (FUTURE, 3))
    if later:
        two.live(at_six(TUESDAY))
    for name, contract_id, number in acts_done:
        ACTS[name](two, contract_id, number)
    quantities, cash, owed = _apart(two)

    report = two.compare(Evidence())

    if quantities:
        assert not report.can_trade
    if report.can_trade:
        shown = {row.currency: row.unexplained for row in report.cash if row.unexplained != 0}
        assert shown == cash
        rate = {"USD": D(1), "EUR": D("1.1"), "GBP": D("1.25")}
        assert all(abs(amount) * rate[c] <= LIMIT_USD for c, amount in (*cash.items(), *owed.items()))
    entries = _adopted(two)
    two.post(entries)
    for fill in two.broker.executions():
        two.fills.setdefault(fill.execution_id, fill)
    assert _apart(two) == ({}, {}, {})
    assert two.compare().can_trade


@given(amount=st.integers(1, 300), known=st.booleans())
@settings(max_examples=20, deadline=None)
def test_dividend_that_only_the_broker_knows_is_seen_when_it_is_owed_and_when_it_is_paid(
    amount: int, known: bool
) -> None:
    row = Dividend(
        instrument_id="AAA", ex_date=TUESDAY, pay_date=TUESDAY + timedelta(days=1), amount=D(amount) / 100
    )
    two = Comparison.begin()
    two.world.dividend_list = (row,)
    two.dividends_known = known
    two.trade(("AAA", 5_000))
    for at in (at_six(TUESDAY), utc(TUESDAY + timedelta(days=1), 6)):
        two.live(at)
        # 5,000 shares at amount / 100, against a limit of 1,000 USD
        assert two.compare().can_trade == (known or amount * 50 <= LIMIT_USD)
