"""The simulated broker's statement, written from the account's own file; reading it changes nothing there."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

from engine.accounting.statement import Statement
from engine.simulation.account import AccountState
from engine.simulation.statement import AccountHistory, account_statement
from engine.simulation.terms import BrokerTerms
from tasks.adapters.simulated_account import SqliteJournal


def simulated_statement(path: Path, terms: BrokerTerms, first: date, last: date) -> Statement:
    """Statement of the days ``first`` to ``last``; raises as `account_statement`."""
    with closing(SqliteJournal(path)) as journal:
        state = AccountState.load(journal.load())
        return account_statement(AccountHistory.read(journal), state, terms, first, last)
