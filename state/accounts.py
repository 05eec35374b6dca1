"""The rows of an account that every other row refers to; they are made when the account is first named."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from engine.model.context import ControlState
from state.prepared import Prepared
from state.tables import accounts, control
from state.upsert import insert_or_keep

_KNOWN = Prepared(select(control.c.account).where(control.c.account == bindparam("account")))


def ensure_account(connection: Connection, account: str) -> None:
    """Rows that every other row of an account refers to."""
    if _KNOWN.one_or_none(connection, {"account": account}) is not None:
        return
    insert_or_keep(connection, accounts, [{"account": account}])
    insert_or_keep(connection, control, [{"account": account, "state": ControlState.ACTIVE.value}])
