"""Settings that the documents name and this version does not read yet.

They are checked like all others, so that a configuration written today stays valid, and `fund config show` says of each
that it has no effect. A test holds the list: a key is read by some code, or it stands here, never both.
"""

from __future__ import annotations

from collections.abc import Mapping

UNREAD: Mapping[str, str] = {
    "volatility.short_window": "a diagnostic of the risk report",
    "execution.default_policy": "other execution algorithms than the marketable limit",
    "execution.default_max_slippage_bps": "classes without a collar of their own; every class has one",
    "execution.pair_hedge_enabled": "pairs worked leg by leg with overlays",
    "execution.pair_min_hedge_trigger_fill_pct": "pairs worked leg by leg with overlays",
    "execution.liquidity": "the choice of an execution algorithm by liquidity",
    "execution.atomic": "atomic groups over several venues",
    "execution_phase2.enabled": "switching phase 2 off as a whole",
    "execution_phase2.session_scheduler.enabled": "the live scheduler; windows stand in venues.yaml, schedules in prefect.yaml",
    "execution_phase2.session_scheduler.precompute_time_utc": "the live scheduler; windows stand in venues.yaml, schedules in prefect.yaml",
    "execution_phase2.session_scheduler.poll_interval_seconds": "the live scheduler; windows stand in venues.yaml, schedules in prefect.yaml",
    "execution_phase2.session_scheduler.job_persistence_path": "the live scheduler; windows stand in venues.yaml, schedules in prefect.yaml",
    "execution_phase2.session_scheduler.venues": "the live scheduler; windows stand in venues.yaml, schedules in prefect.yaml",
    "execution_phase2.market_data.live_provider": "live market data",
    "execution_phase2.market_data.allow_yahoo_in_live": "live market data",
    "execution_phase2.overlays": "overlays on broken pairs",
    "execution_phase2.gating.always_trade_if_limit_breach": "a gate that can hold back a limit; this one never does",
    "execution_phase2.slippage_model": "slippage that is calibrated on own fills",
    "execution_phase2.carry_realism.enabled": "a fund without carry; this one always has it",
    "signals": "the signal pipeline",
    "sizing.decay_halflife": "the signal pipeline",
    "sizing.buffer_zone": "the signal pipeline",
    "sizing.max_position_size": "research",
    "sizing.max_adv_pct": "research; orders obey execution_safety.max_adv_pct",
    "sizing.min_trade_size": "research",
    "sizing.buying_power_haircut": "research",
    "research": "research",
    "operator": "the scripted operator's choices in a backtest; its answers to halts are fixed",
}
"""Key or section, and for what it waits."""


def waits_for(key: str) -> str | None:
    """What a dotted key is kept for, ``None`` when this version reads it."""
    parts = key.split(".")
    places = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((UNREAD[place] for place in places if place in UNREAD), None)
