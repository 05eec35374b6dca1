"""Days of a fund and its broker, drawn: what happens at the broker, what we book wrongly, what the broker tells wrongly.

Both books are read by sums of their own rows, which share no code with what is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from engine.accounting.adoption import adoption
from engine.accounting.ledger import EntryKind, LedgerEntry, LedgerLine
from engine.accounting.reconciliation import ReconciliationReport, ReconciliationStatus
from engine.accounting.sides import Evidence
from engine.model.market import Dividend, Split
from engine.model.orders import Fill, Side
from engine.model.policy import TransactionTax
from engine.model.portfolio import BrokerSnapshot
from engine.simulation import interventions as acts
from engine.simulation.account import FaultKind
from engine.simulation.faults import ForeignTrade, add_trade, clear
from tests.engine.simulation.exchange_world import (
    CONTRACTS,
    EURO,
    FUTURE,
    MONDAY,
    OPTION,
    UNIVERSE,
    World,
    utc,
)
from tests.simulation.two_sides import BOOK, Comparison, at_six

D = Decimal
PRICES = {"AAA": D(100), "PEN": D(250), FUTURE: D(5000), OPTION: D(12), EURO: D("1.1"), "EUR.USD": D("1.1")}
STEPS = {"AAA": D("0.37"), "PEN": D("1.3"), FUTURE: D("7.25"), OPTION: D("0.05"), EURO: D("0.0011")}
LOTS = {"AAA": 100, "PEN": 100}
LIMIT = D("0.0001")
"""Of NAV: what cash in one currency may differ by."""
WHOLE_LIMIT = D("0.0025")
EARLIEST_SPLIT = MONDAY + timedelta(days=3)
TAX = TransactionTax(
    venue=UNIVERSE["AAA"].venue, side=Side.BUY, rate=D("0.005"), first=MONDAY, last=None, source="test"
)
MOST_DAYS = 14
QUERIES = 6
Sums = Mapping[str, Decimal]
Step = tuple[str, tuple[object, ...]]
"""``act``, ``wrong``, ``distorted``, ``adopt`` or ``night``, and what it is done with."""


def small_world(moves: Sequence[int]) -> World:
    """Closes that walk, dividends on both shares, a split of three for two on Thursday; MONDAY is the first day."""
    dividends = tuple(
        Dividend(
            instrument_id=name,
            ex_date=MONDAY + timedelta(days=ex),
            pay_date=MONDAY + timedelta(days=pay),
            amount=D(amount),
        )
        for name, ex, pay, amount in (("AAA", 1, 2, "0.31"), ("PEN", 2, 8, "0.042"), ("AAA", 4, 4, "0.2"))
    )
    split = Split(instrument_id="AAA", ex_date=EARLIEST_SPLIT, new_shares=3, old_shares=2)
    world = World(depth=D(1_000_000), dividend_list=dividends, split_list=(split,))
    closes = dict(world.closes)
    for number, move in enumerate(moves):
        day = MONDAY + timedelta(days=number)
        if day == EARLIEST_SPLIT:
            closes["AAA"] = (closes["AAA"] * 2 / 3).quantize(D("0.01"))
        if day.weekday() < 5:
            closes |= {name: closes[name] + move * step for name, step in STEPS.items()}
        world.dated_closes.update({(name, day): closes[name] for name in STEPS})
    return world


# ---------------------------------------------------------------- both books, by sums of their rows


@dataclass(frozen=True)
class Apart:
    """Ours less the broker's, without what is equal: quantities, cash with unsettled futures, money owed."""

    quantities: Sums
    cash: Sums
    owed: Sums

    @property
    def is_nothing(self) -> bool:
        return not (self.quantities or self.cash or self.owed)


def _by(rows: Sequence[tuple[str, Decimal]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for name, amount in rows:
        found[name] = found.get(name, D(0)) + amount
    return found


def _less(ours: Sums, theirs: Sums) -> Sums:
    both = {name: ours.get(name, D(0)) - theirs.get(name, D(0)) for name in {*ours, *theirs}}
    return {name: amount for name, amount in both.items() if amount != 0}


def our_sums(entries: Sequence[LedgerEntry]) -> Apart:
    """Our side: lines of the ledger added up by account; what futures were settled at is taken out of the cash."""
    lines = [line for entry in entries for line in entry.lines]
    held = _by([(line.unit, line.amount) for line in lines if line.account.startswith("position:")])
    money = [(line.unit, line.amount) for line in lines if line.account == "cash"]
    for line in lines:
        name = line.account.partition(":")[2]
        if line.account.startswith("cost:") and name in CONTRACTS and BOOK.instrument(name).is_future:
            money.append((line.unit, -line.amount))
    owed = _by([(line.unit, line.amount) for line in lines if line.account.startswith("accrual:")])
    return Apart(quantities=held, cash=_by(money), owed=owed)


def broker_sums(two: Comparison) -> Apart:
    """The broker's side: rows of its own account."""
    state = two.broker.state
    money = list(state.cash.items())
    for name, line in state.positions.items():
        money.append((BOOK.instrument(name).currency, -line.futures_cost))
    return Apart(
        quantities={name: line.quantity for name, line in state.positions.items()},
        cash=_by(money),
        owed=_by([(due.currency, due.amount) for _, due in state.receivables.items()]),
    )


def apart(two: Comparison) -> Apart:
    ours, theirs = our_sums(two.entries), broker_sums(two)
    return Apart(
        quantities=_less(ours.quantities, theirs.quantities),
        cash=_less(ours.cash, theirs.cash),
        owed=_less(ours.owed, theirs.owed),
    )


def told_apart(two: Comparison, told: BrokerSnapshot) -> Apart:
    """Our rows against what the broker tells, whatever is true."""
    ours = our_sums(two.entries)
    cash = dict(ours.cash)
    for name, quantity in ours.quantities.items():
        held = told.positions.get(name)
        if quantity != 0 and held is not None and held.mark is not None and BOOK.instrument(name).is_future:
            instrument = BOOK.instrument(name)
            cash[instrument.currency] += instrument.notional(quantity, held.mark)
    return Apart(
        quantities=_less(ours.quantities, {name: row.quantity for name, row in told.positions.items()}),
        cash=_less(cash, told.cash),
        owed=_less(ours.owed, told.accrued),
    )


def worth_apart(told: BrokerSnapshot) -> Decimal | None:
    """How far the broker's whole is from the sum of its own parts, as a fraction; ``None`` where it names no whole."""
    if told.net_liquidation is None or told.net_liquidation <= 0:
        return None
    parts = sum(
        (amount * told.fx.get(c, D(0)) for c, amount in (*told.cash.items(), *told.accrued.items())), D(0)
    )
    for name, row in told.positions.items():
        instrument = BOOK.instrument(name)
        if not instrument.is_future and row.mark is not None:
            parts += instrument.notional(row.quantity, row.mark) * told.fx.get(instrument.currency, D(0))
    return abs(parts / told.net_liquidation - 1)


# ---------------------------------------------------------------- what happens


def _own_fill(two: Comparison, contract_id: str, number: int) -> Fill | None:
    found = [x for x in two.broker.executions() if x.contract_id == contract_id and x.quantity > 0]
    return found[number % len(found)] if found else None


def _trade(two: Comparison, contract_id: str, number: int, ref: str | None) -> None:
    last = CONTRACTS[contract_id].last_trade_date
    if last is not None and two.broker.now.date() > last:
        return
    quantity = D(number * LOTS.get(contract_id, 1))
    price = PRICES[contract_id] + number % 3
    add_trade(
        two.broker,
        "act",
        ForeignTrade(contract_id=contract_id, quantity=quantity, price=price, order_ref=ref),
    )


def _own(two: Comparison, contract_id: str, number: int) -> None:
    ref = f"AF1.{len(two.refs)}.0"
    two.refs.add(ref)
    _trade(two, contract_id, number, ref)
    two.book_new()


def _on_fill(change: Callable[[Comparison, Fill, int], object]) -> Callable[[Comparison, str, int], None]:
    def act(two: Comparison, contract_id: str, number: int) -> None:
        found = _own_fill(two, contract_id, number)
        if found is not None:
            change(two, found, number)

    return act


def _split_unannounced(two: Comparison, _: str, number: int) -> None:
    held = two.broker.state.quantity("AAA")
    if held != 0:
        acts.move_holding(two.broker, "act", "AAA", held * (abs(number) % 3))


def _cash(currency: str, size: str) -> Callable[[Comparison, str, int], None]:
    return lambda two, _, n: acts.change_cash(two.broker, "act", currency, D(n) * D(size))


ACTS: dict[str, Callable[[Comparison, str, int], None]] = {
    "fill": _own,
    "lost fill": lambda two, name, n: _trade(two, name, n, f"AF1.LOST{n}.0"),
    "foreign trade": lambda two, name, n: _trade(two, name, n, None),
    "correction": _on_fill(
        lambda two, fill, n: acts.change_execution(
            two.broker, "act", fill.execution_id, D(abs(n) * 10), fill.price + 1
        )
    ),
    "bust": _on_fill(
        lambda two, fill, n: acts.change_execution(two.broker, "act", fill.execution_id, D(0), fill.price)
    ),
    "withdrawal": _on_fill(
        lambda two, fill, n: acts.withdraw_execution(two.broker, "act", fill.execution_id)
    ),
    "repetition": _on_fill(
        lambda two, fill, n: acts.list_again(two.broker, "act", fill.execution_id, book=n % 2 == 0)
    ),
    "late commission": _on_fill(
        lambda two, fill, n: acts.charge_execution(two.broker, "act", fill.execution_id, D(n) * 31)
    ),
    "split": _split_unannounced,
    "transfer": lambda two, _, n: acts.move_holding(two.broker, "act", "AAA", D(n * 10)),
    "conversion": lambda two, _, n: _trade(two, "EUR.USD", n * 1_000, None),
    "dividend": lambda two, _, n: acts.change_cash(
        two.broker, "act", "USD", two.broker.state.quantity("AAA") * D(n) / 100
    ),
    "promise": lambda two, _, n: acts.promise_cash(two.broker, f"a{n}", "PEN", D(n * 200), date(2024, 4, 2)),
    "payment before its day": lambda two, _, n: acts.pay_now(two.broker, "act"),
    "wire": _cash("USD", "97"),
    "interest": _cash("GBP", "13.37"),
    "loan fee": _cash("USD", "-3.21"),
    "tax": lambda two, _, n: acts.change_cash(
        two.broker, "act", "USD", -abs(two.broker.state.quantity("AAA")) / 2
    ),
    "variation": lambda two, _, n: acts.change_cash(
        two.broker, "act", "USD", two.broker.state.quantity(FUTURE) * 50 * n
    ),
}
"""Each takes the fund, a contract and a number that is not 0."""


def book_wrongly(two: Comparison, which: int, factor: int, currency: str) -> None:
    """Book on top of an entry ``factor`` times itself: -1 forgets it, 1 doubles it, -2 turns its sign, 99 takes pounds.

    With a factor of 0 its money is booked in another currency instead.
    """
    entry = two.entries[1:][which % max(1, len(two.entries) - 1)] if len(two.entries) > 1 else None
    if entry is None:
        return
    lines = tuple(
        replace(line, amount=line.amount * factor) if factor else line
        for line in _wrong_lines(entry, factor, currency)
    )
    if not lines:
        return
    quantity = None if entry.quantity is None or factor == 0 else entry.quantity * factor
    number = len(two.entries)
    two.post((replace(entry, entry_id=f"wrong:{number}", lines=lines, quantity=quantity),))


def _wrong_lines(entry: LedgerEntry, factor: int, currency: str) -> tuple[LedgerLine, ...]:
    if factor:
        return entry.lines
    money = [line for line in entry.lines if line.unit in ("USD", "GBP", "EUR")]
    has_cost = any(line.account.startswith("cost:") for line in entry.lines)
    if has_cost or entry.kind is EntryKind.TRADE or sum((line.amount for line in money), D(0)) != 0:
        return ()
    taken = [replace(line, amount=-line.amount) for line in money]
    return (*taken, *(replace(line, unit=currency) for line in money))


DISTORTIONS: dict[str, tuple[FaultKind, str, str]] = {
    "no answer": (FaultKind.WITHHELD_ANSWER, "positions", "0"),
    "late": (FaultKind.DELAYED_ANSWER, "", "2"),
    "another account": (FaultKind.OTHER_ACCOUNT, "U999", "0"),
    "no positions": (FaultKind.UNLISTED_HOLDING, "*", "0"),
    "a position less": (FaultKind.UNLISTED_HOLDING, "PEN", "0"),
    "no cash": (FaultKind.UNLISTED_CASH, "*", "0"),
    "a currency less": (FaultKind.UNLISTED_CASH, "GBP", "0"),
    "no executions": (FaultKind.HIDDEN_EXECUTION, "*", "0"),
    "another symbol": (FaultKind.RENAMED_HOLDING, "AAA>AAB", "0"),
    "swept cash twice": (FaultKind.SCALED_CASH, "USD", "2"),
    "no number": (FaultKind.UNREADABLE_CASH, "USD", "0"),
    "yen": (FaultKind.SHIFTED_CASH, "JPY", "5000"),
    "a whole that is more": (FaultKind.ADDED_NET_LIQUIDATION, "", "40000"),
}


# ---------------------------------------------------------------- a sequence


def begin(moves: Sequence[int], *, taxed: bool = True) -> Comparison:
    """A fund that bought a little of everything on its first day, short and long."""
    two = Comparison.begin(small_world(moves), taxes=(TAX,) if taxed else ())
    two.trade(("AAA", 5_001), ("PEN", 50_000), (FUTURE, 3), (OPTION, 10), (EURO, -4), ("EUR.USD", 200_000))
    return two


def compare(two: Comparison) -> ReconciliationReport:
    return two.compare(Evidence(dividends=two.world.dividend_list, splits=two.world.split_list))


def blind_spot(two: Comparison, report: ReconciliationReport, told: BrokerSnapshot) -> str | None:
    """What differs although trading may go on, in words; ``None`` when the report saw everything."""
    if not report.can_trade:
        return None
    if told.account != two.broker.account or told.as_of != two.broker.now or len(told.answered) != QUERIES:
        return f"the answer of {told.account} at {told.as_of} to {sorted(told.answered)}"
    seen = told_apart(two, told)
    if seen.quantities:
        return f"quantities {dict(seen.quantities)}"
    rates = {c: told.fx.get(c) for c in {*seen.cash, *seen.owed}}
    for currency, amount in (*seen.cash.items(), *seen.owed.items()):
        rate = rates[currency]
        if rate is None or abs(amount) * rate > max(D(100), LIMIT * report.nav):
            return f"{amount} {currency}"
    shown = {row.currency: row.unexplained for row in report.cash if row.unexplained != 0}
    if shown != seen.cash:
        return f"cash {dict(seen.cash)}, shown {shown}"
    fraction = worth_apart(told)
    if fraction is None or fraction > WHOLE_LIMIT:
        return f"the whole is {fraction} from its parts"
    return None


def look(two: Comparison) -> tuple[ReconciliationReport, str | None]:
    report = compare(two)
    return report, blind_spot(two, report, two.broker.snapshot(two.broker.now))


def look_distorted(two: Comparison, name: str) -> str | None:
    """Look once through a wrong report, which is put right again."""
    kind, subject, amount = DISTORTIONS[name]
    if kind is FaultKind.SCALED_CASH and subject not in dict(two.broker.state.cash.items()):
        return None
    acts.distort_report(two.broker, name, kind, subject, D(amount))
    _, missed = look(two)
    clear(two.broker, name)
    return None if missed is None else f"{name}: {missed}"


def adopt(two: Comparison) -> None:
    """A person lets the book take the broker's figures, where they are known."""
    report = compare(two)
    if report.status is ReconciliationStatus.UNKNOWN:
        return
    sides, _ = two.sides()
    two.post(adoption(sides, report, two.broker.now, f"a{len(two.entries)}", None, two.entries, two.taxes))
    for fill in two.broker.executions():
        two.fills.setdefault(fill.execution_id, fill)


def next_morning(two: Comparison) -> None:
    """Through the settlement, the night and its corporate actions to 06:00."""
    two.live(utc(two.broker.now.date(), 23))
    two.live(at_six(two.broker.now.date() + timedelta(days=1)))


def do(two: Comparison, step: Step) -> str | None:
    """Do one step; what the comparison after it, or through a wrong report, did not see."""
    name, given = step
    if name == "act":
        act, contract_id, number = given
        ACTS[str(act)](two, str(contract_id), int(str(number)))
    elif name == "wrong":
        which, factor, currency = given
        book_wrongly(two, int(str(which)), int(str(factor)), str(currency))
    elif name == "distorted":
        missed = look_distorted(two, str(given[0]))
        if missed is not None:
            return missed
    elif name == "adopt":
        adopt(two)
    elif (two.broker.now.date() - MONDAY).days < MOST_DAYS:
        next_morning(two)
    missed = look(two)[1]
    return None if missed is None else f"after {name} {given}: {missed}"


def missed_in(steps: Sequence[Step], moves: Sequence[int]) -> str | None:
    """What no comparison of a sequence saw, or what was left when the broker was adopted at its end."""
    two = begin(moves)
    for step in steps:
        missed = do(two, step)
        if missed is not None:
            return missed
    for _ in range(2):  # what the broker lists no more is no evidence any more
        next_morning(two)
    adopt(two)
    if not apart(two).is_nothing:
        return f"adopting the broker left {apart(two)}"
    return None if look(two)[0].can_trade else "the comparison halts though nothing is apart"
