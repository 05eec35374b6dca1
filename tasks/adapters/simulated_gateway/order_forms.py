"""Forms of the three long messages about orders: placed by the client, shown open and shown completed by the gateway.

The names are the same in all three, so that what a client placed is shown again as it was placed.
"""

from __future__ import annotations

from tasks.adapters.simulated_gateway.forms import UNSET_NUMBER, Form, Many, When, fields

CONTRACT_SENT = fields(
    "con_id=0 symbol security_type last_trade_date strike=0 right multiplier exchange primary_exchange currency "
    "local_symbol trading_class"
)
CONTRACT_SHOWN = fields(
    "con_id=0 symbol security_type last_trade_date strike=0 right multiplier exchange currency local_symbol "
    "trading_class"
)
TAG_VALUES = fields("tag value")
LEGS = fields(
    "con_id=0 ratio=1 action exchange open_close=0 short_sale_slot=0 designated_location exempt_code=-1"
)
PLAIN_LEGS = fields("con_id=0 ratio=1 action exchange")
COMBINATION = frozenset({"BAG"})

_NEUTRAL = When("has_delta_neutral", frozenset({"1"}), fields("neutral_con_id neutral_delta neutral_price"))
_PEGGED_TO_BENCHMARK = When(
    "order_type",
    frozenset({"PEG BENCH"}),
    fields("reference_con_id pegged_decreases pegged_change reference_change reference_exchange"),
)


def _delta_neutral(text: str) -> When:
    """Fields of an order that hedges its delta by another order."""
    return When("delta_neutral_type", None, fields(text))


_HEDGE = When("hedge_type", None, fields("hedge_parameter"))
_ALGORITHM = When("algorithm", None, (Many("algorithm_parameters", TAG_VALUES),))

PLACE_ORDER: Form = (
    *fields("order_id=0"),
    *CONTRACT_SENT,
    *fields(
        "security_id_type security_id action quantity=0 order_type limit_price aux_price tif oca_group account "
        "open_close origin=0 order_ref transmit=1 parent_id=0 block=0 sweep=0 display_size=0 trigger_method=0 "
        "outside_hours=0 hidden=0"
    ),
    When(
        "security_type",
        COMBINATION,
        (Many("legs", LEGS), Many("leg_prices", fields("price")), Many("routing", TAG_VALUES)),
    ),
    *fields("shares_allocation discretionary=0 good_after good_till fa_group fa_method fa_percentage"),
    *fields("fa_profile", before=177),
    *fields(
        "model short_sale_slot=0 designated_location exempt_code=-1 oca_type=0 rule_80a settling_firm "
        "all_or_none=0 min_quantity percent_offset e_trade_only=0 firm_quote_only=0 nbbo_cap auction_strategy=0 "
        "starting_price stock_reference_price delta range_lower range_upper override_constraints=0 volatility "
        "volatility_type delta_neutral_type delta_neutral_aux"
    ),
    _delta_neutral(
        "neutral_order_con_id neutral_settling_firm neutral_account neutral_intent neutral_open_close "
        "neutral_short_sale neutral_short_sale_slot neutral_location"
    ),
    *fields(
        "continuous_update=0 reference_price_type trail_stop trail_percent scale_initial scale_following scale_step"
    ),
    *fields("scale_table active_start active_stop hedge_type"),
    _HEDGE,
    *fields("opt_out_smart=0 clearing_account clearing_intent not_held=0 has_delta_neutral=0"),
    _NEUTRAL,
    *fields("algorithm"),
    _ALGORITHM,
    *fields("algorithm_id what_if=0 misc_options solicited=0 random_size=0 random_price=0"),
    _PEGGED_TO_BENCHMARK,
    *fields("conditions=0"),
    *fields(
        "adjusted_type trigger_price limit_offset adjusted_stop adjusted_stop_limit adjusted_trail "
        "adjusted_trail_unit external_operator tier_name tier_value cash_quantity mifid_decision "
        "mifid_decision_algorithm mifid_trader mifid_trader_algorithm no_auto_hedge_price=0 oms_container=0 "
        "discretionary_to_limit=0 price_management"
    ),
    *fields("duration", since=158),
    *fields("post_to_ats", since=160),
    *fields("cancel_with_parent=0", since=162),
    *fields("error_override", since=166),
    *fields("manual_order_time", since=169),
)
"""Conditions, scale orders and the peg types of version 170 add fields; the gateway does not take such orders."""

_SHOWN_FIRST = fields(
    "action quantity=0 order_type limit_price=0 aux_price=0 tif oca_group account open_close origin=0 order_ref"
)
_COMBINATION_SHOWN: Form = (
    Many("legs", LEGS),
    Many("leg_prices", fields("price")),
    Many("routing", TAG_VALUES),
    *fields("scale_initial scale_following scale_step hedge_type"),
    _HEDGE,
)
_PEG_BEST = fields("peg_min_trade peg_min_compete peg_compete_offset peg_mid_whole peg_mid_half", since=170)

OPEN_ORDER: Form = (
    *fields("order_id=0"),
    *CONTRACT_SHOWN,
    *_SHOWN_FIRST,
    *fields(
        "client_id=0 perm_id=0 outside_hours=0 hidden=0 discretionary=0 good_after shares_allocation fa_group "
        "fa_method fa_percentage"
    ),
    *fields("fa_profile", before=177),
    *fields(
        "model good_till rule_80a percent_offset settling_firm short_sale_slot=0 designated_location "
        "exempt_code=-1 auction_strategy=0 starting_price stock_reference_price delta range_lower range_upper "
        "display_size=0 block=0 sweep=0 all_or_none=0 min_quantity oca_type=0 e_trade_only=0 firm_quote_only=0 "
        "nbbo_cap parent_id=0 trigger_method=0 volatility volatility_type=0 delta_neutral_type delta_neutral_aux"
    ),
    _delta_neutral(
        "neutral_order_con_id neutral_settling_firm neutral_account neutral_intent neutral_open_close "
        "neutral_short_sale neutral_short_sale_slot neutral_location"
    ),
    *fields(
        "continuous_update=0 reference_price_type=0 trail_stop trail_percent basis_points basis_points_type "
        "legs_text"
    ),
    *_COMBINATION_SHOWN,
    *fields("opt_out_smart=0 clearing_account clearing_intent not_held=0 has_delta_neutral=0"),
    _NEUTRAL,
    *fields("algorithm"),
    _ALGORITHM,
    *fields("solicited=0 what_if=0 status"),
    *fields(
        f"initial_before={UNSET_NUMBER} maintenance_before={UNSET_NUMBER} equity_before={UNSET_NUMBER} "
        f"initial_change={UNSET_NUMBER} maintenance_change={UNSET_NUMBER} equity_change={UNSET_NUMBER} "
        f"initial_after={UNSET_NUMBER} maintenance_after={UNSET_NUMBER} equity_after={UNSET_NUMBER} "
        "commission least_commission most_commission commission_currency warning random_size=0 random_price=0"
    ),
    _PEGGED_TO_BENCHMARK,
    *fields(
        "conditions=0 adjusted_type trigger_price trail_stop_again limit_offset adjusted_stop adjusted_stop_limit "
        "adjusted_trail adjusted_trail_unit=0 tier_name tier_value tier_shown cash_quantity "
        "no_auto_hedge_price=0 oms_container=0 discretionary_to_limit=0 price_management=0"
    ),
    *fields("duration", since=159),
    *fields("post_to_ats", since=160),
    *fields("cancel_with_parent=0", since=162),
    *_PEG_BEST,
)

COMPLETED_ORDER: Form = (
    *CONTRACT_SHOWN,
    *_SHOWN_FIRST,
    *fields("perm_id=0 outside_hours=0 hidden=0 discretionary=0 good_after fa_group fa_method fa_percentage"),
    *fields("fa_profile", before=177),
    *fields(
        "model good_till rule_80a percent_offset settling_firm short_sale_slot=0 designated_location "
        "exempt_code=-1 starting_price stock_reference_price delta range_lower range_upper display_size=0 sweep=0 "
        "all_or_none=0 min_quantity oca_type=0 trigger_method=0 volatility volatility_type=0 delta_neutral_type "
        "delta_neutral_aux"
    ),
    _delta_neutral("neutral_order_con_id neutral_short_sale neutral_short_sale_slot neutral_location"),
    *fields("continuous_update=0 reference_price_type=0 trail_stop trail_percent legs_text"),
    *_COMBINATION_SHOWN,
    *fields("clearing_account clearing_intent not_held=0 has_delta_neutral=0"),
    _NEUTRAL,
    *fields("algorithm"),
    _ALGORITHM,
    *fields("solicited=0 status random_size=0 random_price=0"),
    _PEGGED_TO_BENCHMARK,
    *fields(
        "conditions=0 trail_stop_again limit_offset cash_quantity no_auto_hedge_price=0 oms_container=0 "
        "auto_cancel_date filled_quantity=0 reference_future=0 cancel_with_parent=0 shareholder imbalance_only=0 "
        "route_to_bbo=0 parent_perm_id=0 completed_time completed_status"
    ),
    *_PEG_BEST,
)
