"""The catalogue of messages: number, name and form of each, in both directions, for protocol versions 157 to 178."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.adapters.simulated_gateway.forms import Form, Many, Record, When, fields, integer, read, write
from tasks.adapters.simulated_gateway.framing import WireError
from tasks.adapters.simulated_gateway.order_forms import (
    COMBINATION,
    COMPLETED_ORDER,
    CONTRACT_SENT,
    CONTRACT_SHOWN,
    OPEN_ORDER,
    PLACE_ORDER,
    PLAIN_LEGS,
    TAG_VALUES,
)

LOWEST_VERSION, HIGHEST_VERSION = 157, 178
SPOKEN_VERSION = 176
"""What the gateway speaks unless it is asked for another: the newest that the client library knows."""


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of message; ``has_version`` is a number after the message's own that nobody reads any more."""

    number: int
    name: str
    form: Form
    has_version: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A message of a client."""

    name: str
    record: Record

    def integer(self, name: str) -> int:
        """A whole number of it."""
        return integer(self.record, name)


_LEGS = When("security_type", COMBINATION, (Many("legs", PLAIN_LEGS),))
_NEUTRAL = (
    *fields("has_delta_neutral=0"),
    When("has_delta_neutral", frozenset({"1"}), fields("neutral_con_id neutral_delta neutral_price")),
)
_REQUEST = fields("request_id=0")
_EXPIRED = (*CONTRACT_SENT, *fields("include_expired=0"))

_CLIENT = (
    Message(1, "market_data", (*_REQUEST, *CONTRACT_SENT, _LEGS, *_NEUTRAL, *fields("generic_ticks snapshot=0 regulatory=0 options")), "11"),
    Message(2, "cancel_market_data", _REQUEST, "2"),
    Message(3, "place_order", PLACE_ORDER),
    Message(4, "cancel_order", (*fields("order_id"), *fields("manual_cancel_time", since=169)), "1"),
    Message(5, "open_orders", (), "1"),
    Message(6, "account_updates", fields("subscribe account"), "2"),
    Message(7, "executions", fields("request_id client_id account time symbol security_type exchange side"), "3"),
    Message(8, "ids", fields("count"), "1"),
    Message(9, "contract_details", (*_REQUEST, *_EXPIRED, *fields("security_id_type security_id"), *fields("issuer_id", since=176)), "8"),
    Message(10, "market_depth", (*_REQUEST, *CONTRACT_SENT, *fields("rows smart=0 options")), "5"),
    Message(11, "cancel_market_depth", fields("request_id smart=0"), "1"),
    Message(14, "log_level", fields("level"), "1"),
    Message(15, "automatic_open_orders", fields("bind"), "1"),
    Message(16, "all_open_orders", (), "1"),
    Message(17, "managed_accounts", (), "1"),
    Message(20, "historical_data", (*_REQUEST, *_EXPIRED, *fields("end bar_size duration regular_hours what date_format"), _LEGS, *fields("keep_up_to_date=0 options"))),
    Message(25, "cancel_historical_data", _REQUEST, "1"),
    Message(49, "current_time", (), "1"),
    Message(58, "global_cancel", (), "1"),
    Message(59, "market_data_type", fields("type"), "1"),
    Message(61, "positions", (), "1"),
    Message(62, "account_summary", fields("request_id group tags"), "1"),
    Message(63, "cancel_account_summary", _REQUEST, "1"),
    Message(64, "cancel_positions", (), "1"),
    Message(71, "start_api", fields("client_id capabilities"), "2"),
    Message(76, "account_updates_multi", fields("request_id account model ledger_and_nlv"), "1"),
    Message(77, "cancel_account_updates_multi", _REQUEST, "1"),
    Message(78, "option_parameters", fields("request_id symbol future_exchange security_type con_id")),
    Message(81, "matching_symbols", fields("request_id pattern")),
    Message(87, "head_timestamp", (*_REQUEST, *_EXPIRED, *fields("regular_hours what date_format"))),
    Message(90, "cancel_head_timestamp", _REQUEST),
    Message(91, "market_rule", fields("rule_id")),
    Message(92, "profit_and_loss", fields("request_id account model")),
    Message(93, "cancel_profit_and_loss", _REQUEST),
    Message(94, "profit_and_loss_single", fields("request_id account model con_id")),
    Message(95, "cancel_profit_and_loss_single", _REQUEST),
    Message(99, "completed_orders", fields("api_only")),
)  # fmt: skip

_BAR = fields("date open high low close volume=0 average=0 count=0")
_CONTRACT_DETAILS: Form = (
    *fields("obsolete_version=8", before=164),
    *fields(
        "request_id symbol security_type last_trade strike=0 right exchange currency local_symbol market_name "
        "trading_class con_id least_tick"
    ),
    *fields("size_multiplier=100", before=164),
    *fields(
        "multiplier order_types valid_exchanges price_magnifier=1 under_con_id=0 long_name primary_exchange "
        "contract_month industry category subcategory time_zone trading_hours liquid_hours ev_rule ev_multiplier"
    ),
    Many("security_ids", TAG_VALUES),
    *fields("aggregation_group=1 under_symbol under_security_type market_rule_ids expiry_date stock_type"),
    *fields("least_size size_step", since=164),
    *fields("suggested_size_step", since=163),
)
_EXECUTION: Form = (
    *fields("request_id=-1 order_id=0"),
    *CONTRACT_SHOWN,
    *fields(
        "execution_id time account venue side shares price perm_id client_id liquidation=0 total average_price "
        "order_ref ev_rule ev_multiplier model last_liquidity=2"
    ),
    *fields("pending_revision=0", since=178),
)
_ORDER_STATUS = fields(
    "order_id status filled=0 remaining=0 average_price=0 perm_id=0 parent_id=0 last_price=0 client_id=0 why_held cap_price=0"
)

_SERVER = (
    Message(1, "price", fields("request_id type price size=0 attributes=0"), "6"),
    Message(2, "size", fields("request_id type size"), "6"),
    Message(3, "order_status", _ORDER_STATUS),
    Message(4, "error", (*fields("request_id=-1 code text"), *fields("advanced", since=166)), "2"),
    Message(5, "open_order", OPEN_ORDER),
    Message(6, "account_value", fields("key value currency account"), "2"),
    Message(7, "portfolio", fields(
        "con_id symbol security_type last_trade_date strike=0 right multiplier primary_exchange currency local_symbol "
        "trading_class position price value average_cost unrealized realized account"
    ), "8"),
    Message(8, "account_time", fields("time"), "1"),
    Message(9, "next_valid_id", fields("order_id"), "1"),
    Message(10, "contract_details", _CONTRACT_DETAILS),
    Message(11, "execution", _EXECUTION),
    Message(12, "depth", fields("request_id position operation side price size"), "1"),
    Message(13, "depth_smart", fields("request_id position maker operation side price size smart=1"), "1"),
    Message(15, "managed_accounts", fields("accounts"), "1"),
    Message(17, "bars", (*fields("request_id start end"), Many("bars", _BAR))),
    Message(21, "option_computation", fields("request_id type attribute=0 volatility delta price dividends gamma vega theta underlying")),
    Message(45, "generic", fields("request_id type value"), "6"),
    Message(46, "string", fields("request_id type text"), "6"),
    Message(49, "current_time", fields("seconds"), "1"),
    Message(52, "contract_details_end", _REQUEST, "1"),
    Message(53, "open_orders_end", (), "1"),
    Message(54, "account_end", fields("account"), "1"),
    Message(55, "executions_end", _REQUEST, "1"),
    Message(57, "snapshot_end", _REQUEST, "1"),
    Message(58, "market_data_type", fields("request_id type"), "1"),
    Message(59, "commission", fields("execution_id commission currency realized=1.7976931348623157E308 yield redemption"), "1"),
    Message(61, "position", (*fields("account"), *CONTRACT_SHOWN, *fields("position average_cost")), "3"),
    Message(62, "positions_end", (), "1"),
    Message(63, "summary", fields("request_id account tag value currency"), "1"),
    Message(64, "summary_end", _REQUEST, "1"),
    Message(73, "account_value_multi", fields("request_id account model key value currency"), "1"),
    Message(74, "account_multi_end", _REQUEST, "1"),
    Message(75, "option_parameters", (*fields("request_id exchange under_con_id trading_class multiplier"), Many("expirations", fields("date")), Many("strikes", fields("strike")))),
    Message(76, "option_parameters_end", _REQUEST),
    Message(79, "symbols", (*_REQUEST, Many("symbols", (
        *fields("con_id symbol security_type primary_exchange currency"),
        Many("derivatives", fields("security_type")),
        *fields("description issuer_id", since=176),
    )))),
    Message(81, "request_parameters", fields("request_id least_tick exchange permissions=3")),
    Message(88, "head_timestamp", fields("request_id time")),
    Message(93, "market_rule", (*fields("rule_id"), Many("increments", fields("from increment")))),
    Message(94, "profit_and_loss", fields("request_id daily unrealized realized")),
    Message(95, "profit_and_loss_single", fields("request_id position daily unrealized realized value")),
    Message(101, "completed_order", COMPLETED_ORDER),
    Message(102, "completed_orders_end", ()),
)  # fmt: skip

CLIENT_MESSAGES: Mapping[int, Message] = {message.number: message for message in _CLIENT}
SERVER_MESSAGES: Mapping[str, Message] = {message.name: message for message in _SERVER}
_CLIENT_BY_NAME: Mapping[str, Message] = {message.name: message for message in _CLIENT}
_SERVER_BY_NUMBER: Mapping[int, Message] = {message.number: message for message in _SERVER}


def read_request(texts: Sequence[str], version: int) -> Request:
    """What a client asks; raises `WireError` for a number or a form that the catalogue does not have."""
    message, record = _read(CLIENT_MESSAGES, texts, version)
    return Request(message.name, record)


def read_answer(texts: Sequence[str], version: int) -> Request:
    """What a gateway says, by the same catalogue: for tests and for frames that were recorded."""
    message, record = _read(_SERVER_BY_NUMBER, texts, version)
    return Request(message.name, record)


def answer(name: str, record: Record, version: int) -> list[str]:
    """Fields of a message of the gateway."""
    return _write(SERVER_MESSAGES[name], record, version)


def request(name: str, record: Record, version: int) -> list[str]:
    """Fields of a message of a client."""
    return _write(_CLIENT_BY_NAME[name], record, version)


def _read(catalogue: Mapping[int, Message], texts: Sequence[str], version: int) -> tuple[Message, Record]:
    number = texts[0] if texts else ""
    message = (
        catalogue.get(int(number)) if number.isascii() and number.isdigit() and len(number) < 5 else None
    )
    if message is None:
        raise WireError(f"expected the number of a known message, found {number[:20]!r}")
    skipped = 2 if message.has_version else 1
    return message, read(message.form, texts[skipped:], version)


def _write(message: Message, record: Record, version: int) -> list[str]:
    first = [str(message.number), message.has_version] if message.has_version else [str(message.number)]
    return first + write(message.form, record, version)
