"""How a connection begins: greeting and account."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.errors import ConfigurationError
from tasks.adapters.ibkr.listening import PacedClient
from tasks.adapters.ibkr.policy import SessionPolicy


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
