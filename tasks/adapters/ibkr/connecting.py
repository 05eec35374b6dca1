"""How a connection begins: greeting, account, and where somebody else holds the clock, that it is one gateway."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from engine.errors import BrokerUnavailable, ConfigurationError
from tasks.adapters.ibkr.asking import Asking
from tasks.adapters.ibkr.listening import PacedClient
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.records import ErrorShown, News


class ClientIdInUse(ConnectionError):
    """The gateway refused us, for somebody is connected as our client."""


def no_connection(error: BaseException, policy: SessionPolicy) -> BrokerUnavailable:
    """That there is no connection, why, and what to do about it."""
    advice = "see that the gateway runs and is logged in, and that FUND_IB_PORT is its port"
    if isinstance(error, ClientIdInUse):
        advice = (
            f"another run or session holds the client id {policy.client_id}, and the gateway, its login and port are as "
            "they should be: wait until that run has ended, or end that session"
        )
    return BrokerUnavailable(
        f"expected a connection to the broker at {policy.host}:{policy.port} as client {policy.client_id}, "
        f"found {str(error) or type(error).__name__}; {advice}"
    )


async def shake_hands(client: PacedClient, policy: SessionPolicy, refused: asyncio.Future[None]) -> None:
    """Greet the broker as our client; ``refused`` fails with its reason, which the library waits through silently."""
    shaking = asyncio.ensure_future(
        client.connectAsync(policy.host, policy.port, policy.client_id, policy.connect_timeout)
    )
    try:
        await asyncio.wait({shaking, refused}, return_when=asyncio.FIRST_COMPLETED)
        if refused.done() and not shaking.done():
            refused.result()
        await shaking
    finally:  # also when nobody waits any more: a greeting that is left alone would hold its socket and our client id
        shaking.cancel()
        await asyncio.gather(shaking, return_exceptions=True)
    spoken, lowest, highest = client.serverVersion(), client.MinClientVersion, client.MaxClientVersion
    if not lowest <= spoken <= highest:  # the library takes any, and would read its messages wrongly
        raise ConnectionError(f"expected a gateway that speaks {lowest} to {highest}, found {spoken}")


def check_account(managed: Sequence[str], policy: SessionPolicy) -> None:
    """Raise `ConfigurationError` unless the expected account is the only one of the login.

    An adviser's login shows others beside it: orders may be shared out between them, and their orders and executions
    come over the same line.
    """
    if list(managed) != [policy.account]:
        raise ConfigurationError(
            f"expected the account {policy.account} alone at {policy.host}:{policy.port}, found "
            f"{', '.join(managed) or 'none'}; check the account, the port and who is logged in: a login that manages "
            "several accounts, as an adviser's does, is not traded over"
        )


async def require_same_gateway(
    say: Callable[[str], None], asking: Asking, heard: Sequence[News], policy: SessionPolicy
) -> None:
    """Raise `ConfigurationError` unless what ``say`` tells our client through another line is ``heard`` over this one.

    It says a word that nobody else knows.
    """
    word = secrets.token_hex(16)
    await asyncio.to_thread(say, word)
    # Any answer that comes after it: a question for the time may wait for time to move.
    await asking.ask("positions", policy.request_timeout)
    if not any(isinstance(news, ErrorShown) and news.text == word for news in heard):
        raise ConfigurationError(
            f"expected the gateway at {policy.host}:{policy.port} behind the control interface, found another one, which "
            f"has a client {policy.client_id} too: FUND_IB_CONTROL_PORT and FUND_IB_PORT are of different gateways; "
            "nothing was sent"
        )
