"""The account as the wire tells it: positions, values by currency, summary, portfolio.

Values of a currency come under its name, and their sum in the base currency under ``BASE``. ``TotalCashBalance`` holds
the unsettled result of futures, ``CashBalance`` does not. ``AccruedCash`` is everything earned and not yet paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from engine.errors import UnknownContract
from engine.model.instruments import Instrument
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO
from engine.model.portfolio import BrokerPosition, BrokerSnapshot
from engine.simulation.broker import SimulatedBroker
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.sessions import Answer, plain

BASE = "BASE"
LEDGER = "$LEDGER"


class Value(NamedTuple):
    """One figure of the account; the currency is empty for what has none."""

    key: str
    text: str
    currency: str


@dataclass(slots=True, kw_only=True)
class AccountDesk:
    """Answers about one account; a snapshot is taken once for each change of the account."""

    broker: SimulatedBroker
    listing: Listing
    _taken: tuple[tuple[int, object], BrokerSnapshot] | None = field(init=False, repr=False, default=None)

    def snapshot(self) -> BrokerSnapshot:
        """The account now, with the faults of its reports."""
        head = self.broker.state.head
        moment = (head.commit, head.virtual_time)
        if self._taken is None or self._taken[0] != moment:
            self._taken = (moment, self.broker.snapshot(self.broker.now))
        return self._taken[1]

    def forget(self) -> None:
        """Take the next snapshot anew: the account changed within one commit, or is again what it was."""
        self._taken = None

    def positions(self) -> list[Answer]:
        """Every holding, then the end of the list; nothing at all where the query fails."""
        told = self.snapshot()
        if "positions" not in told.answered:
            return []
        return [*(self._position(told, row) for row in told.positions.values()), Answer("positions_end", {})]

    def position(self, contract_id: str) -> Answer:
        """One holding that changed; a quantity of 0 when nothing is left."""
        return self._position(self.snapshot(), self._held(contract_id))

    def portfolio_line(self, contract_id: str) -> Answer:
        """The portfolio's line of one holding that changed."""
        line = self.broker.terms.instrument(contract_id)
        return self._portfolio(self.snapshot(), self._held(contract_id), line)

    def updates(self) -> list[Answer]:
        """What a client who watches the account is told: values, portfolio, time, the end."""
        told = self.snapshot()
        if not {"cash", "account"} <= told.answered:
            return []
        account = {"account": told.account}
        values = [
            Answer("account_value", {"key": v.key, "value": v.text, "currency": v.currency} | account)
            for v in self.values(told)
        ]
        lines = [self._portfolio(told, row, line) for row, line in self._lines(told)]
        time = Answer("account_time", {"time": f"{told.as_of:%H:%M}"})
        return [*values, *lines, time, Answer("account_end", account)]

    def values_multi(self, request_id: int, model: str, *, ledger_only: bool) -> list[Answer]:
        """The account's values under a request of their own."""
        told = self.snapshot()
        if not {"cash", "account"} <= told.answered:
            return []
        fixed = {"request_id": str(request_id), "account": told.account, "model": model}
        found = self.ledger(told) if ledger_only else self.values(told)
        return [
            *(
                Answer("account_value_multi", fixed | {"key": v.key, "value": v.text, "currency": v.currency})
                for v in found
            ),
            Answer("account_multi_end", {"request_id": str(request_id)}),
        ]

    def summary(self, request_id: int, tags: Sequence[str]) -> list[Answer]:
        """The tags that were asked for; ``$LEDGER:ALL`` means every currency, ``$LEDGER`` the base alone."""
        told = self.snapshot()
        if not {"cash", "account"} <= told.answered:
            return []
        chosen = [value for value in self.totals(told) if value.key in tags]
        for tag in tags:
            name, _, currency = tag.partition(":")
            if name == LEDGER:
                wanted = currency or BASE
                chosen += [v for v in self.ledger(told) if wanted in ("ALL", v.currency)]
        fixed = {"request_id": str(request_id), "account": told.account}
        rows = [
            Answer("summary", fixed | {"tag": v.key, "value": v.text, "currency": v.currency}) for v in chosen
        ]
        return [*rows, Answer("summary_end", {"request_id": str(request_id)})]

    def values(self, told: BrokerSnapshot) -> list[Value]:
        """All figures: of the whole account, then of each currency."""
        return [*self.totals(told), *self.ledger(told)]

    def totals(self, told: BrokerSnapshot) -> list[Value]:
        """Figures of the whole account, in the base currency."""
        worth, excess = told.net_liquidation or ZERO, told.excess_liquidity or ZERO
        accrued = sum((amount * told.fx[c] for c, amount in told.accrued.items() if c in told.fx), ZERO)
        gross = sum(
            (abs(_value(row, line)) * told.fx.get(line.currency, ZERO) for row, line in self._lines(told)),
            ZERO,
        )
        cash = sum((amount * told.fx[c] for c, amount in told.cash.items() if c in told.fx), ZERO)
        margin = worth - excess
        money = {
            "NetLiquidation": worth, "TotalCashValue": cash, "AccruedCash": accrued, "EquityWithLoanValue": worth,
            "GrossPositionValue": gross, "InitMarginReq": margin, "MaintMarginReq": margin,
            "AvailableFunds": excess, "ExcessLiquidity": excess, "BuyingPower": excess,
        }  # fmt: skip
        return [
            Value("AccountCode", told.account, ""),
            Value("AccountType", "INDIVIDUAL", ""),
            Value("AccountReady", "true", ""),
            *(Value(key, _money(amount), BASE_CURRENCY) for key, amount in money.items()),
        ]

    def ledger(self, told: BrokerSnapshot) -> list[Value]:
        """Figures by currency, with their sum under ``BASE``."""
        rows: list[Value] = []
        total: dict[str, Decimal] = {}
        currencies = sorted(
            told.cash.keys()
            | told.accrued.keys()
            | {line.currency for _, line in self._lines(told)}
            | {BASE_CURRENCY}
        )
        for currency in currencies:
            rate = told.fx.get(currency)
            money = self._of_currency(told, currency)
            if rate is None:
                continue
            for key, amount in money.items():
                total[key] = total.get(key, ZERO) + amount * rate
            rows += _ledger_rows(currency, money, rate)
        return rows + _ledger_rows(BASE, total, Decimal(1))

    def _of_currency(self, told: BrokerSnapshot, currency: str) -> dict[str, Decimal]:
        cash, accrued = told.cash.get(currency, ZERO), told.accrued.get(currency, ZERO)
        held = [(row, line) for row, line in self._lines(told) if line.currency == currency]
        shares = sum((_value(row, line) for row, line in held if line.kind.broker_name == "STK"), ZERO)
        options = sum((_value(row, line) for row, line in held if line.is_option), ZERO)
        settled = self.broker.state.balance(currency)
        return {
            "CashBalance": settled, "TotalCashBalance": cash, "AccruedCash": accrued, "StockMarketValue": shares,
            "OptionMarketValue": options, "FuturesPNL": cash - settled,
            "UnrealizedPnL": sum((_unrealized(row, line) for row, line in held), ZERO),
            "NetLiquidationByCurrency": cash + accrued + shares + options,
        }  # fmt: skip

    # ------------------------------------------------------------ holdings

    def _held(self, contract_id: str) -> BrokerPosition:
        """What is reported of a contract; nothing held when it is not listed."""
        nothing = BrokerPosition(
            contract_id=contract_id, quantity=ZERO, average_cost=ZERO, mark=None, in_session=False
        )
        return self.snapshot().positions.get(contract_id, nothing)

    def _position(self, told: BrokerSnapshot, row: BrokerPosition) -> Answer:
        contract = self._shown(row.contract_id)
        return Answer(
            "position",
            {**contract, "account": told.account, "position": plain(row.quantity),
             "average_cost": plain(row.average_cost)},
        )  # fmt: skip

    def _portfolio(self, told: BrokerSnapshot, row: BrokerPosition, line: Instrument) -> Answer:
        exchange = {"primary_exchange": line.primary_exchange or line.exchange}
        shown = {name: text for name, text in self._shown(row.contract_id).items() if name != "exchange"}
        mark = (row.mark or ZERO) / line.price_magnifier
        return Answer(
            "portfolio",
            shown
            | exchange
            | {"position": plain(row.quantity), "price": plain(mark), "value": _money(_value(row, line)),
               "average_cost": plain(row.average_cost), "unrealized": _money(_unrealized(row, line)),
               "realized": "0", "account": told.account},
        )  # fmt: skip

    def _lines(self, told: BrokerSnapshot) -> list[tuple[BrokerPosition, Instrument]]:
        """Holdings with their instruments, without those that are reported under a name that nobody knows."""
        found = []
        for row in told.positions.values():
            try:
                found.append((row, self.broker.terms.instrument(row.contract_id)))
            except UnknownContract:
                continue
        return found

    def _shown(self, contract_id: str) -> Mapping[str, str]:
        """A holding's contract; one that is under no known name is shown by that name alone."""
        try:
            number = self.listing.number(contract_id)
        except UnknownContract:
            return {"symbol": contract_id, "security_type": "STK", "currency": BASE_CURRENCY}
        return self.listing.shown(self.listing.contract(number))


def _value(row: BrokerPosition, line: Instrument) -> Decimal:
    """Value at the broker's mark, in the line's currency."""
    return line.notional(row.quantity, row.mark or ZERO)


def _unrealized(row: BrokerPosition, line: Instrument) -> Decimal:
    return ZERO if row.mark is None else _value(row, line) - row.quantity * row.average_cost


def _ledger_rows(currency: str, money: Mapping[str, Decimal], rate: Decimal) -> list[Value]:
    return [
        Value("Currency", currency, currency),
        *(Value(key, _money(amount), currency) for key, amount in money.items()),
        Value("ExchangeRate", plain(rate), currency),
    ]


def _money(amount: Decimal) -> str:
    """Money to the micro-unit that the broker keeps: nothing is lost between its book and the wire."""
    return str(amount) if not amount.is_finite() else plain(amount.quantize(Decimal("0.000001")))
