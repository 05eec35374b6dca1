"""Rows of what the fund decided to hold and to trade: targets, hedges, the gate, every considered trade, incidents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from engine.composition.stages import DayInputs
from engine.composition.trading import TradeListDecision
from engine.execution.safety import SafetyVerdict
from engine.model.encoding import encode
from engine.model.market import OptionQuote
from engine.model.money import ZERO, decimal_from_float, round_money
from engine.model.orders import Reason, TargetBook, TradeProposal
from engine.model.portfolio import Sleeve, Valuation
from engine.model.universe import ContractBook
from state.halts import HaltRecord
from state.record_values import Record, Tables

HEDGE_SLEEVES = (Sleeve.FX_HEDGE, Sleeve.CRISIS_ALPHA)


def target_rows(run_id: str, book: TargetBook) -> Tables:
    """Wanted holdings of a run."""
    return {
        "targets": [
            {
                "run_id": run_id,
                "contract_id": line.contract_id,
                "sleeve": line.sleeve,
                "instrument_id": line.instrument_id,
                "weight": line.weight,
                "notional_usd": line.notional_usd,
                "quantity": line.quantity,
                "trade_group": line.group,
            }
            for line in book.lines
        ]
    }


def trade_rows(run_id: str, trades: TradeListDecision, verdict: SafetyVerdict, book: TargetBook) -> Tables:
    """Why each considered trade was done or not, which sleeves keep their book, and whether orders may leave."""
    considered: list[Record] = [
        {
            "run_id": run_id,
            "stage": row.stage,
            "subject": row.contract_id,
            "outcome": "done" if row.done else "not done",
            "reason": row.reason,
            "payload": encode(row),
        }
        for row in trades.decisions
    ]
    held: list[Record] = [
        {
            "run_id": run_id,
            "stage": "targets",
            "subject": sleeve,
            "outcome": "held",
            "reason": why,
            "payload": encode(why),
        }
        for sleeve, why in sorted(book.held.items())
    ]
    safety: Record = {
        "run_id": run_id,
        "stage": "safety",
        "subject": "fund",
        "outcome": "passed" if verdict.passed else "blocked",
        "reason": "; ".join(verdict.reasons),
        "payload": encode(verdict),
    }
    return {"decisions": [*considered, *held, safety], "gating_decisions": _gate_rows(run_id, trades)}


def _gate_rows(run_id: str, trades: TradeListDecision) -> list[Record]:
    """Every trade that the gate weighed; cost and benefit in USD are those of its whole group."""
    passed = {trade.contract_id: trade for trade in trades.gate.trades}
    refused = {row.contract_id: row.quantity for row in trades.decisions if row.stage == "gate"}
    rows: list[Record] = []
    for found in trades.gate.decisions:
        trade = passed.get(found.contract_id)
        # The gate refuses rebalances alone: every other reason is exempt from it.
        reason = Reason.REBALANCE if trade is None else trade.reason
        words = (
            found.reason.value if found.override is None else f"{found.reason.value}: {found.override.value}"
        )
        rows.append(
            {
                "run_id": run_id,
                "contract_id": found.contract_id,
                "reason": reason.value,
                "outcome": "trade" if found.should_trade else "hold",
                "quantity": refused[found.contract_id] if trade is None else trade.quantity,
                "benefit_usd": round_money(found.benefit_usd),
                "cost_usd": round_money(found.cost_usd),
                "note": f"{words}, required {found.required_usd:,.2f} USD",
            }
        )
    return rows


def hedge_rows(
    run_id: str,
    inputs: DayInputs,
    valuation: Valuation,
    proposals: Iterable[TradeProposal],
    contracts: ContractBook,
) -> Tables:
    """Protection and currency hedges as today wants them: what is held plus what is asked for, before netting."""
    asked: dict[tuple[Sleeve, str], list[TradeProposal]] = {}
    wanted: dict[tuple[Sleeve, str], Decimal] = {}
    for name, position in inputs.portfolio.positions.items():
        for sleeve in HEDGE_SLEEVES:
            if position.sleeves.get(sleeve, ZERO) != 0:
                wanted[sleeve, name] = position.sleeves[sleeve]
    for proposal in proposals:
        sleeve = Sleeve(proposal.sleeve)
        if sleeve in HEDGE_SLEEVES:
            key = (sleeve, proposal.contract_id)
            asked.setdefault(key, []).append(proposal)
            wanted[key] = wanted.get(key, ZERO) + proposal.quantity
    units = {line.contract_id: line.exposure_usd / line.quantity for line in valuation.lines if line.quantity}
    return {
        "hedges": [
            {
                "run_id": run_id,
                "hedge_id": f"{sleeve.value}:{name}",
                "kind": sleeve.value,
                "contract_id": name,
                "quantity": quantity,
                "exposure_usd": round_money(
                    quantity * (units[name] if name in units else _unit_exposure(name, inputs, contracts))
                ),
                "reason": _hedge_words(asked.get((sleeve, name), ())),
            }
            for (sleeve, name), quantity in sorted(
                wanted.items(), key=lambda item: (item[0][0].value, item[0][1])
            )
        ]
    }


def _hedge_words(asked: Sequence[TradeProposal]) -> str:
    return "; ".join(f"{row.reason.value} {row.quantity:+f}" for row in asked) or "held"


def _unit_exposure(contract_id: str, inputs: DayInputs, contracts: ContractBook) -> Decimal:
    """USD of exposure of one contract that is not held yet: its notional, an option's adjusted by its delta."""
    instrument = contracts.instrument(contract_id)
    if instrument.is_option:
        option = _listed(contract_id, inputs.market.option_chains.get(instrument.instrument_id, ()))
        delta = decimal_from_float(option.delta)
        local = instrument.notional(Decimal(1), option.underlying_price) * delta
    else:
        local = instrument.notional(Decimal(1), inputs.market.mark(contract_id).price)
    return inputs.market.fx.to_base(local, instrument.currency)


def _listed(contract_id: str, chain: Sequence[OptionQuote]) -> OptionQuote:
    return next(quote for quote in chain if quote.contract.contract_id == contract_id)


def incident_rows(run_id: str, found: Iterable[HaltRecord]) -> Tables:
    """Halts of a run as incidents, open until a person resolved them."""
    return {
        "incidents": [
            {
                "run_id": run_id,
                "incident_id": halt.halt_id,
                "account": halt.account,
                "at": halt.raised_at,
                "kind": halt.kind,
                "message": halt.message,
                "closed_at": halt.resolved_at,
            }
            for halt in found
            if halt.run_id == run_id
        ]
    }


def merged(*parts: Tables) -> Mapping[str, Sequence[Record]]:
    """Rows of several subjects in one mapping; no table belongs to two of them."""
    return {name: rows for part in parts for name, rows in part.items()}
