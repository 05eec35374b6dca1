"""The fund's own comparison before a window, over an account that is read from the wire.

Book, known orders and evidence are the database's, the other side is what `IbkrAccount` was told over TCP; what is said
of both is `tasks.window_check.compare_at`, the comparison of a real day.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache, partial
from types import SimpleNamespace

from config.policies import fund_policy
from config.settings import load_configuration
from engine.accounting.ledger import deposit
from engine.composition.stages import DaySetup
from engine.errors import HaltError
from engine.execution.outcome import UNCHANGED, WindowVerdict
from engine.model.halts import HaltKind
from engine.model.market import Mark
from engine.model.money import from_micros
from engine.model.policy import FundPolicy
from engine.model.universe import ContractBook
from state.database import Database
from state.ledger import LedgerStore
from state.order_reading import account_fills, order_references
from state.orders import OrderStore
from tasks.reconcile import reconciliation_text
from tasks.window_check import compare_at
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, small_world
from tests.tasks.adapters.ibkr.trading import Desk

CAPITAL = from_micros(10_000_000 * 10**6)


@lru_cache(maxsize=1)
def _policy() -> FundPolicy:
    return fund_policy(load_configuration("fund", ()).settings, OPENED.date())


@lru_cache(maxsize=1)
def _marks() -> Mapping[str, Mark]:
    """What the decision of the morning knew a price of: every contract that is quoted."""
    _, _, facts = small_world()
    names = sorted(row.contract_id for chain in facts.panel.chains.values() for row in chain)
    quotes = {name: facts.quote(name, OPENED) for name in (*names, "CSPX", "AAPL")}
    return {
        name: Mark(
            contract_id=name, price=quote.mid, session_date=OPENED.date(), age_sessions=0, source=quote.source
        )
        for name, quote in quotes.items()
        if quote is not None and quote.is_two_sided
    }


def open_book(database: Database) -> None:
    """The fund's capital, as the broker's new account has it."""
    LedgerStore(database).post(ACCOUNT, [deposit(CAPITAL, CAPITAL, OPENED, "opening deposit")])


def compare_over_the_wire(
    database: Database, desk: Desk, orders: OrderStore, book: ContractBook, at: datetime
) -> WindowVerdict:
    """The window may begin; raises `HaltError` with the words of the comparison where it may not."""
    universe, sessions, facts = small_world()
    world = SimpleNamespace(
        outside=SimpleNamespace(
            snapshot=desk.account.snapshot, quote=lambda name, _: desk.transport.quote(name)
        ),
        ledger=LedgerStore(database),
        account=ACCOUNT,
        contracts=book,
        order_refs=partial(order_references, database, ACCOUNT),
        fills=partial(account_fills, database, ACCOUNT),
    )
    market = SimpleNamespace(
        marks=_marks(), fx=facts.fx(at), chains=facts.panel.chains, option_chains={}, dividends=(), splits=()
    )
    context = SimpleNamespace(account=ACCOUNT, trade_date=OPENED.date())
    inputs = SimpleNamespace(market=market, previous=None, manual_marks={}, contracts=(), context=context)
    setup = DaySetup(universe=universe, policy=_policy(), sessions=sessions)
    day = SimpleNamespace(world=world, setup=setup, orders=orders, trade_date=OPENED.date())
    report = compare_at(day, inputs, at)  # type: ignore[arg-type]
    if report.can_trade:
        return UNCHANGED
    kind = report.halt_kind or HaltKind.UNANSWERED
    raise HaltError(kind.value, reconciliation_text(report))
