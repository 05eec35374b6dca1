"""The fund's own comparison before a window, over an account that is read from the wire.

Book, known orders and evidence are the database's, the other side is what `IbkrAccount` was told over TCP; what is said
of both is `tasks.window_check.compare_before_window`, the comparison of a real day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from types import SimpleNamespace

from config.policies import fund_policy
from config.settings import load_configuration
from engine.accounting.ledger import deposit
from engine.composition.stages import DaySetup
from engine.execution.outcome import UNCHANGED, AskAgain, WindowVerdict
from engine.model.market import Mark
from engine.model.money import from_micros
from engine.model.policy import FundPolicy
from engine.model.universe import ContractBook
from state.control import ControlStore
from state.database import Database
from state.halts import HaltStore
from state.ledger import LedgerStore
from state.order_reading import account_fills, order_references
from state.orders import OrderStore
from state.records import RecordStore
from state.runs import RunClaim, RunStore
from tasks.asking import Asking
from tasks.window_check import compare_before_window
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WiredDay:
    """What a comparison needs of a day: the run's rows in the database, the account as the line tells it."""

    database: Database
    desk: Desk
    orders: OrderStore
    claim: RunClaim
    alarms: list[str]
    book: ContractBook

    def asking(self) -> Asking:
        """The questions of one run, as the fund is configured."""
        times = load_configuration("fund", ()).settings.reconciliation.ask_again_after_seconds
        return Asking(self._day(), tuple(timedelta(seconds=count) for count in times))  # type: ignore[arg-type]

    def compare(self, asking: Asking, at: datetime) -> WindowVerdict | AskAgain:
        """The window may begin, or the broker is asked again; raises `HaltError` where it may not."""
        _, _, facts = small_world()
        market = SimpleNamespace(
            marks=_marks(),
            fx=facts.fx(at),
            chains=facts.panel.chains,
            option_chains={},
            dividends=(),
            splits=(),
        )
        context = SimpleNamespace(account=ACCOUNT, trade_date=OPENED.date())
        inputs = SimpleNamespace(market=market, previous=None, manual_marks={}, contracts=(), context=context)
        again = compare_before_window(self._day(), inputs, asking, at)  # type: ignore[arg-type]
        return UNCHANGED if again is None else again

    def _day(self) -> SimpleNamespace:
        universe, sessions, _ = small_world()
        account, line = self.desk.account, self.desk.transport
        world = SimpleNamespace(
            outside=SimpleNamespace(snapshot=account.snapshot, quote=lambda name, _: line.quote(name)),
            ledger=LedgerStore(self.database),
            records=RecordStore(self.database),
            runs=RunStore(self.database),
            control=ControlStore(self.database),
            halts=HaltStore(self.database),
            account=ACCOUNT,
            contracts=self.book,
            order_refs=partial(order_references, self.database, ACCOUNT),
            fills=partial(account_fills, self.database, ACCOUNT),
            observer=lambda step, fact: None,
        )
        return SimpleNamespace(
            world=world,
            setup=DaySetup(universe=universe, policy=_policy(), sessions=sessions),
            orders=self.orders,
            claim=self.claim,
            run_id=self.claim.run_id,
            key=SimpleNamespace(account=ACCOUNT),
            trade_date=OPENED.date(),
            alert=lambda level, text: self.alarms.append(text),
        )
