"""The fund's own comparison before a window, over an account that came through the wire: who else trades, what lags.

Each window buys 100 CSPX and 60 AAPL; what stops it stops it before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.accounting.uncharged import expected_commissions
from engine.model.instruments import CollarClass
from engine.model.orders import Fill
from engine.model.policy import CostPolicy
from engine.simulation.account import FaultKind
from state.ledger import LedgerStore
from state.order_reading import account_fills, uncharged_orders
from tasks.adapters.simulated_gateway import server
from tasks.adapters.simulated_gateway.messages import answer
from tests.simulation.order_days.drawing import ProcessDeath
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, connected, library_loop, settle
from tests.tasks.adapters.ibkr.booked import LEASE, BookedWindow, booked_window, contract_book, intent
from tests.tasks.adapters.ibkr.window_comparison import CAPITAL
from tests.tasks.adapters.simulated_gateway.test_gateway import buy

FILLED = ("fill", 1)
LAG = "lag"
D = Decimal
Open = Callable[..., BookedWindow]


@pytest.fixture
def a_window(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(
            booked_window(tmp_path, intent("CSPX", 100), intent("AAPL", 60), **more)
        )


def bought(window: BookedWindow) -> dict[str, Decimal]:
    """What was bought under the fund's own references."""
    found: dict[str, Decimal] = {}
    for fill in window.executions():
        if (fill.order_ref or "").startswith("AF1."):
            found[fill.contract_id] = found.get(fill.contract_id, Decimal(0)) + fill.signed_quantity
    return found


def all_is_bought_once(window: BookedWindow) -> None:
    was_bought_once(window.run())


def was_bought_once(window: BookedWindow) -> None:
    window.assert_book_is_the_brokers()
    assert bought(window) == {"CSPX": 100, "AAPL": 60}


# ---------------------------------------------------------------- others in the account


def another_client(window: BookedWindow, factor: str) -> None:
    """A second process under another number, over TCP: an order that rests below the market, or trades."""
    with library_loop():
        other = connected(window.gateway, 3)
        try:
            buy(other, window.gateway, factor=factor, orderRef="THEIRS.1")
            settle(other, window.gateway)
            window.pass_by(10)
        finally:
            other.disconnect()


def test_order_of_another_desk_stops_the_window_before_an_order_is_written(a_window: Open) -> None:
    window = a_window()
    window.ask("foreign_order", contract="CSPX", quantity="5", limit="100")
    told = window.stopped()
    assert "expected only our own orders at the broker, found" in told
    assert "BUY 5 CSPX, working" in told
    window.pass_by(LEASE.total_seconds())
    assert "expected only our own orders" in window.stopped(), "it is still there"
    assert len(window.compared) == 2, "what the broker shows is no late answer, and was asked about twice"


def test_working_order_of_another_client_stops_the_window_before_an_order_is_written(a_window: Open) -> None:
    window = a_window()
    another_client(window, "0.9")
    assert "expected only our own orders at the broker, found THEIRS.1: BUY" in window.stopped()


def test_trade_of_another_client_stops_the_window_before_an_order_is_written(a_window: Open) -> None:
    window = a_window()
    another_client(window, "1.01")
    [fill] = window.executions()
    assert isinstance(fill, Fill)
    told = window.stopped()
    assert f"expected 0 shares of {fill.contract_id} as in our book, found {fill.quantity} shares" in told


def test_trade_by_hand_stops_the_window_before_an_order_is_written(a_window: Open) -> None:
    window = a_window()
    window.ask("fault", name="foreign-position")
    assert "expected 0 shares of AAPL as in our book, found 177 shares at the broker" in window.stopped()


# ---------------------------------------------------------------- positions that lag behind fills


def lag_from_now(window: BookedWindow) -> None:
    window.distort(LAG, FaultKind.UNLISTED_HOLDING, "CSPX")


def die(_: BookedWindow) -> None:
    raise ProcessDeath


def asked(window: BookedWindow) -> list[float]:
    """Seconds from the first of the latest comparisons to each of them."""
    return [(at - window.compared[0]).total_seconds() for at in window.compared]


def test_positions_that_lag_while_the_window_runs_make_no_other_order(a_window: Open) -> None:
    window = a_window(mishaps={FILLED: lag_from_now})
    all_is_bought_once(window)
    assert (window.attempts, window.counted["send"]) == (1, 2)


@pytest.mark.parametrize(("seconds", "questions"), [(1, 2), (5, 2), (30, 3), (119, 4)])
def test_positions_that_lag_behind_a_fill_are_asked_for_until_they_agree_and_nothing_is_bought_again(
    a_window: Open, seconds: int, questions: int
) -> None:
    """The first attempt dies at its fill. The next is told of the position so many seconds after it has begun."""
    window = a_window(mishaps={FILLED: die})
    assert not window.attempt()
    sent = window.counted["send"]
    window.pass_by(LEASE.total_seconds())
    window.compared.clear()
    window.be_late(seconds, FaultKind.UNLISTED_HOLDING, "CSPX")
    assert window.attempt(), window.alarms
    was_bought_once(window)
    assert asked(window) == [0, 5, 60, 120][:questions]
    assert window.counted["send"] <= sent + 1, (
        "an order was written beside the one that the death interrupted"
    )


def test_positions_that_lag_longer_stop_the_attempt_after_its_last_question(a_window: Open) -> None:
    """121 seconds: the attempt has asked at 0, 5, 60 and 120; the next one, 61 seconds later, finds them."""
    window = a_window(mishaps={FILLED: die})
    assert not window.attempt()
    window.pass_by(LEASE.total_seconds())
    window.compared.clear()
    window.be_late(121, FaultKind.UNLISTED_HOLDING, "CSPX")
    told = window.stopped()
    assert "the broker does not list CSPX, and nothing says that it is gone: ask again" in told
    assert "the broker was asked 4 times in 120 seconds" in told
    assert asked(window) == [0, 5, 60, 120]
    window.pass_by(LEASE.total_seconds())
    all_is_bought_once(window)
    assert window.attempts == 3


# ---------------------------------------------------------------- money that lags or is left out


@pytest.mark.parametrize(
    ("kind", "subject", "words"),
    [
        (FaultKind.UNLISTED_CASH, "USD", "expected 10,000,000.00 USD of cash as in our book, found 0.00 USD"),
        (
            FaultKind.SCALED_CASH,
            "USD",
            "expected 10,000,000.00 USD of cash as in our book, found 5,000,000.00",
        ),
        (FaultKind.WITHHELD_ANSWER, "positions", "found positions was not answered in 1 seconds"),
        (FaultKind.WITHHELD_ANSWER, "cash", "found account was not answered in 1 seconds"),
        (FaultKind.UNREADABLE_CASH, "USD", "found no answer"),
    ],
)
def test_account_that_is_told_in_part_stops_the_window_until_it_is_told_whole(
    a_window: Open, kind: FaultKind, subject: str, words: str
) -> None:
    window = a_window()
    window.request_timeout = 1.0
    window.distort("part", kind, subject, Decimal("0.5"))
    assert words in window.stopped()
    window.ask("clear", name="part")
    window.pass_by(LEASE.total_seconds())
    all_is_bought_once(window)


@pytest.mark.parametrize(
    ("kind", "subject"), [(FaultKind.UNLISTED_CASH, "USD"), (FaultKind.FIXED_NET_LIQUIDATION, "")]
)
def test_money_that_comes_late_is_asked_for_again_and_the_window_is_worked(
    a_window: Open, kind: FaultKind, subject: str
) -> None:
    """A balance that is left out, and a net liquidation value 50,000 USD behind the 10,000,000 of now."""
    window = a_window()
    window.be_late(30, kind, subject, CAPITAL - 50_000)
    assert window.attempt(), window.alarms
    was_bought_once(window)
    assert (window.attempts, asked(window)) == (1, [0, 5, 60])
    assert any("the broker was late and agreed after 60 seconds" in text for text in window.alarms)


def test_worth_that_never_agrees_stops_the_window_after_four_questions_until_it_does(a_window: Open) -> None:
    window = a_window()
    window.ask("fault", name="nlv-drift")
    told = window.stopped()
    assert "expected a net liquidation value of" in told
    assert "the broker was asked 4 times in 120 seconds" in told
    assert asked(window) == [0, 5, 60, 120]
    window.ask("clear", name="nlv-drift")
    window.pass_by(LEASE.total_seconds())
    all_is_bought_once(window)


# ---------------------------------------------------------------- commissions that come late


def tell_no_commissions(patch: pytest.MonkeyPatch) -> None:
    """The gateway's commissions come as what is not set."""

    def not_set(name: str, record: Mapping[str, object], version: int) -> list[str]:
        told = {**record, "commission": "1.7976931348623157E308"} if name == "commission" else record
        return answer(name, told, version)

    patch.setattr(server, "answer", not_set)


def test_commission_that_comes_with_the_next_attempt_makes_the_book_exact(
    a_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt dies after its second fill and has heard no commission, the next one hears both."""
    window = a_window(mishaps={("fill", 2): die})
    tell_no_commissions(monkeypatch)
    assert not window.attempt()
    [booked] = account_fills(window.database, ACCOUNT)
    assert not booked.is_charged
    cash = LedgerStore(window.database).portfolio(ACCOUNT, OPENED + timedelta(days=1)).cash["USD"]
    assert cash == CAPITAL - booked.quantity * booked.price, "no commission is guessed"
    monkeypatch.undo()
    window.pass_by(LEASE.total_seconds())
    all_is_bought_once(window)
    assert {fill.is_charged for fill in account_fills(window.database, ACCOUNT)} == {True}


def test_what_was_expected_of_a_commission_is_given_back_when_the_commission_comes(
    a_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a valuation between both attempts takes for it is wrong by 2.50, and gone to the last digit afterwards."""
    window = a_window(mishaps={("fill", 2): die})
    tell_no_commissions(monkeypatch)
    assert not window.attempt()
    monkeypatch.undo()
    [booked] = uncharged_orders(window.database, ACCOUNT)
    [charge] = [fill.commission for fill in window.executions() if fill.root == booked.root]
    assert charge is not None
    ledger = LedgerStore(window.database)
    [expected] = expected_commissions(
        (booked,), contract_book(), one_price(charge + D("2.50")), OPENED, OPENED
    )
    ledger.post(ACCOUNT, [expected])
    cash = ledger.portfolio(ACCOUNT, OPENED + timedelta(days=1)).cash["USD"]
    assert cash == CAPITAL - booked.quantity * booked.price - charge - D("2.50")
    window.pass_by(LEASE.total_seconds())
    all_is_bought_once(window)
    assert uncharged_orders(window.database, ACCOUNT) == ()


def one_price(amount: Decimal) -> CostPolicy:
    """A cost model of one price an order."""
    nil = dict.fromkeys(CollarClass, D(0))
    return CostPolicy(
        half_spread_bps=nil, impact_coefficient=nil, commission_per_unit=nil, commission_bps=nil,
        commission_minimum=dict.fromkeys(CollarClass, amount), transaction_taxes=(),
    )  # fmt: skip
