"""Rolls of futures: which must move to a later contract, and which contract new trades use.

A future is rolled when at most its roll days remain: sessions of its own venue from the trade date to the earlier of
last trade and first notice. The new contract is the first listed one with a price whose own deadline lies beyond that
horizon. While there is none the old contract is kept, until its end is near: then it is only closed. Quantities of
each sleeve are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.errors import DataError
from engine.model.instruments import Contract, Instrument
from engine.model.market import Mark
from engine.model.orders import Reason, TradeProposal
from engine.model.policy import RollPolicy
from engine.model.portfolio import Portfolio, Position
from engine.model.universe import ContractBook
from engine.sessions import SessionTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """One held future that is due. ``new_contract`` is ``None`` when the chain offers none: then it is only closed."""

    instrument_id: str
    old_contract: str
    new_contract: str | None
    quantity: Decimal
    days_left: int
    is_critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RollPlan:
    """All rolls of the day. ``critical`` names futures and options at most one session from their end."""

    rolls: tuple[Roll, ...]
    proposals: tuple[TradeProposal, ...]
    critical: tuple[str, ...]
    notes: tuple[str, ...]


def plan_roll(
    portfolio: Portfolio,
    chains: Mapping[str, tuple[Contract, ...]],
    sessions: SessionTable,
    contracts: ContractBook,
    trade_date: date,
    policy: RollPolicy,
    marks: Mapping[str, Mark],
) -> RollPlan:
    """Close every due future and open its successor, as one group per instrument.

    ``marks`` are those good enough to trade on: a contract without one is no successor.
    """
    rolls: list[Roll] = []
    proposals: list[TradeProposal] = []
    critical: list[str] = []
    notes: list[str] = []
    for contract_id, position in sorted(portfolio.positions.items()):
        contract, instrument = contracts.contract(contract_id), contracts.instrument(contract_id)
        days = days_left(contract, instrument, sessions, trade_date, policy)
        if days is None or position.quantity == 0:
            continue
        if days <= policy.critical_days:
            critical.append(contract_id)
        if not instrument.is_future or days > roll_days(instrument, policy):
            continue
        chain = [row for row in chains.get(instrument.instrument_id, ()) if _is_later(row, contract)]
        successor = _beyond_horizon(chain, instrument, sessions, trade_date, policy, marks)
        if successor is None and days > policy.critical_days:
            notes.append(
                f"{contract_id} has no priced successor yet: its roll waits, {days} sessions are left"
            )
            continue
        if successor is None:
            notes.append(
                f"{contract_id} has no priced successor: it is closed, and what it was paired with too"
            )
        rolls.append(
            Roll(
                instrument_id=instrument.instrument_id,
                old_contract=contract_id,
                new_contract=None if successor is None else successor.contract_id,
                quantity=position.quantity,
                days_left=days,
                is_critical=days <= policy.critical_days,
            )
        )
        proposals.extend(_proposals(position, instrument, successor))
    return RollPlan(
        rolls=tuple(rolls), proposals=tuple(proposals), critical=tuple(critical), notes=tuple(notes)
    )


def front_contracts(
    chains: Mapping[str, tuple[Contract, ...]],
    marks: Mapping[str, Mark],
    sessions: SessionTable,
    contracts: ContractBook,
    trade_date: date,
    policy: RollPolicy,
) -> Mapping[str, str]:
    """The contract that new trades of each future use; a future without a priced one is left out.

    It is the first beyond the roll horizon; where none has a price, the last one whose end is not near, so that a
    roll that waits leaves its sleeve a contract to hold.
    """
    fronts = {
        instrument_id: _front(chain, contracts.universe[instrument_id], sessions, trade_date, policy, marks)
        for instrument_id, chain in sorted(chains.items())
    }
    return {name: contract.contract_id for name, contract in fronts.items() if contract is not None}


def roll_days(instrument: Instrument, policy: RollPolicy) -> int:
    """Sessions before the deadline at which an instrument rolls: an override, its own, or the fund's default."""
    own = instrument.roll_days_before if instrument.roll_days_before > 0 else policy.days_before
    return policy.overrides.get(instrument.instrument_id, own)


def days_left(
    contract: Contract, instrument: Instrument, sessions: SessionTable, trade_date: date, policy: RollPolicy
) -> int | None:
    """Sessions after the trade date up to the deadline, ``None`` without a deadline, 0 when it has passed.

    Beyond the end of the session table the count is a lower bound; raises `DataError` when that is too near to say
    whether the contract is due.
    """
    deadline = contract.roll_deadline
    if deadline is None:
        return None
    days = sessions.sessions_between(instrument.venue, trade_date, min(deadline, sessions.last))
    if deadline > sessions.last and days <= roll_days(instrument, policy):
        raise DataError(
            f"{contract.contract_id}: the session table ends on {sessions.last}, before its deadline {deadline};"
            " ask for a longer table"
        )
    return days


def _front(
    chain: Sequence[Contract],
    instrument: Instrument,
    sessions: SessionTable,
    trade_date: date,
    policy: RollPolicy,
    marks: Mapping[str, Mark],
) -> Contract | None:
    found = _beyond_horizon(chain, instrument, sessions, trade_date, policy, marks)
    if found is not None:
        return found
    for contract in reversed(_priced(chain, trade_date, marks)):
        days = days_left(contract, instrument, sessions, trade_date, policy)
        if days is not None and days > policy.critical_days:
            return contract
    return None


def _beyond_horizon(
    chain: Sequence[Contract],
    instrument: Instrument,
    sessions: SessionTable,
    trade_date: date,
    policy: RollPolicy,
    marks: Mapping[str, Mark],
) -> Contract | None:
    """First contract with a price that is not itself due."""
    for contract in _priced(chain, trade_date, marks):
        days = days_left(contract, instrument, sessions, trade_date, policy)
        if days is not None and days > roll_days(instrument, policy):
            return contract
    return None


def _priced(chain: Sequence[Contract], trade_date: date, marks: Mapping[str, Mark]) -> list[Contract]:
    """Contracts with a price whose deadline is to come, nearest first."""
    return sorted(
        (
            row
            for row in chain
            if row.contract_id in marks and row.roll_deadline is not None and row.roll_deadline > trade_date
        ),
        key=lambda row: (row.roll_deadline or date.max, row.contract_id),
    )


def _is_later(candidate: Contract, held: Contract) -> bool:
    return (
        candidate.roll_deadline is not None
        and held.roll_deadline is not None
        and candidate.roll_deadline > held.roll_deadline
    )


def _proposals(
    position: Position, instrument: Instrument, successor: Contract | None
) -> tuple[TradeProposal, ...]:
    group = f"roll:{instrument.instrument_id}"
    legs = [(position.contract_id, -1)] + ([] if successor is None else [(successor.contract_id, 1)])
    return tuple(
        TradeProposal(
            sleeve=sleeve.value,
            contract_id=contract_id,
            quantity=sign * quantity,
            reason=Reason.ROLL,
            group=group,
            reduce_only=successor is None,
        )
        for contract_id, sign in legs
        for sleeve, quantity in position.sleeves.items()
    )
