import threading
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from engine.accounting.book import fold
from engine.accounting.ledger import LedgerEntry, reverse
from engine.errors import InvariantError
from state.database import Database, open_database
from state.ledger import LedgerStore
from tests.engine.accounting.builders import bought
from tests.state.builders import ACCOUNT, NOW, later, make_deposit, make_interest

D = Decimal


def test_entries_come_back_as_they_were_in_the_order_of_booking(database: Database) -> None:
    entries = (make_deposit(), bought("IUKD", "300", "712.35"), make_interest("USD:2025-12-01", "-0.000001"))
    assert LedgerStore(database).post(ACCOUNT, entries) == 3
    assert LedgerStore(database).entries(ACCOUNT) == entries


def test_entry_booked_twice_counts_once(database: Database) -> None:
    store = LedgerStore(database)
    assert store.post(ACCOUNT, (make_deposit(), make_deposit())) == 1
    assert store.post(ACCOUNT, (make_deposit(), make_interest("a"))) == 1
    assert store.portfolio(ACCOUNT, NOW).cash == {"USD": D("10000001.5")}


def test_booked_id_with_another_content_is_refused_and_nothing_is_booked(database: Database) -> None:
    store = LedgerStore(database)
    store.post(ACCOUNT, (make_deposit(),))
    with pytest.raises(InvariantError, match="deposit:opening is booked with another content"):
        store.post(ACCOUNT, (make_interest("new"), make_deposit("20000000")))
    with pytest.raises(InvariantError, match="another content"):
        store.post(ACCOUNT, (make_interest("twice", "1"), make_interest("twice", "2")))
    assert store.entries(ACCOUNT) == (make_deposit(),)


def test_accounts_have_books_of_their_own(database: Database) -> None:
    store = LedgerStore(database)
    store.post(ACCOUNT, (make_deposit(),))
    store.post("SIM-other", (make_deposit("5"),))
    assert store.portfolio("SIM-other", NOW).cash == {"USD": D(5)}
    assert store.portfolio("nobody", NOW).cash == {}
    assert store.portfolio("nobody", NOW).as_of == NOW


def test_portfolio_is_the_fold_of_what_was_booked_by_then(database: Database) -> None:
    store = LedgerStore(database)
    entries = (
        make_deposit(),
        bought("AAPL", "100", "190.10", "e1.01"),
        bought("AAPL", "-40", "191", "e2.01", booked_at=later(3600)),
    )
    store.post(ACCOUNT, entries)
    for moment in (NOW, later(10), later(3600), later(7200)):
        assert store.portfolio(ACCOUNT, moment) == fold(entries, moment)
    assert store.portfolio(ACCOUNT, later(7200)).quantity("AAPL") == 60


def test_bust_that_comes_later_leaves_the_cost_of_what_stands(database: Database) -> None:
    store, sale = LedgerStore(database), bought("AAPL", "-50", "12", "e2.01", booked_at=later(1))
    store.post(ACCOUNT, (bought("AAPL", "100", "10", "e1.01"), sale))
    assert store.portfolio(ACCOUNT, later(1)).positions["AAPL"].cost == 500
    store.post(ACCOUNT, (reverse(sale, later(2)),))
    # Without the sale 100 at 10 are held, and never 500 + 600.
    assert store.portfolio(ACCOUNT, later(2)).positions["AAPL"].cost == 1000
    assert store.portfolio(ACCOUNT, later(2)) == LedgerStore(database).portfolio(ACCOUNT, later(2))
    assert store.portfolio(ACCOUNT, later(1)).positions["AAPL"].cost == 500


def test_store_sees_what_another_process_booked(database: Database) -> None:
    mine, other = LedgerStore(database), LedgerStore(database)
    mine.post(ACCOUNT, (make_deposit(),))
    assert mine.portfolio(ACCOUNT, NOW).cash == {"USD": D(10_000_000)}
    other.post(ACCOUNT, (make_interest("a", booked_at=later(5)), make_interest("b", booked_at=later(2))))
    assert mine.portfolio(ACCOUNT, later(5)).cash == {"USD": D("10000003")}
    assert mine.portfolio(ACCOUNT, later(2)).cash == {"USD": D("10000001.5")}


def test_entries_are_chosen_by_time(database: Database) -> None:
    store = LedgerStore(database)
    entries = tuple(make_interest(str(n), booked_at=later(n)) for n in range(5))
    store.post(ACCOUNT, entries)
    assert store.entries(ACCOUNT, until=later(3), since=later(1)) == entries[1:4]


def test_posts_at_the_same_time_are_all_booked_in_one_order_without_gaps(database: Database) -> None:
    def post(name: int) -> None:
        for number in range(5):
            LedgerStore(database).post(
                ACCOUNT, (make_interest(f"{name}-{number}"), make_interest(f"shared-{number}"))
            )

    threads = [threading.Thread(target=post, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(LedgerStore(database).entries(ACCOUNT)) == 25
    with database.read() as connection:
        sequences = (
            connection.execute(text("SELECT sequence FROM ledger_entries ORDER BY sequence")).scalars().all()
        )
    assert list(sequences) == list(range(1, 26))


def test_thousands_of_entries_are_posted_and_read_once(database: Database) -> None:
    store = LedgerStore(database)
    entries = tuple(make_interest(str(n), "0.01", booked_at=later(n)) for n in range(1200))
    assert store.post(ACCOUNT, entries) == 1200
    assert store.post(ACCOUNT, entries) == 0
    assert store.portfolio(ACCOUNT, later(1200)).cash == {"USD": D("12")}


amounts = st.decimals(-1000, 1000, places=6)


@given(batches=st.lists(st.lists(amounts, max_size=4), max_size=5))
def test_book_read_in_pieces_equals_the_book_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Decimal]]
) -> None:
    database = open_database(None, tmp_path_factory.mktemp("book"))
    pieces, posted = LedgerStore(database), list[LedgerEntry]()
    for number, batch in enumerate(batches):
        entries = [make_interest(f"{number}-{n}", str(amount)) for n, amount in enumerate(batch)]
        entries = [replace(entry, booked_at=later(number)) for entry in entries]
        posted += entries
        pieces.post(ACCOUNT, entries)
        assert pieces.portfolio(ACCOUNT, later(100)) == fold(posted, later(100))
    assert LedgerStore(database).portfolio(ACCOUNT, later(100)) == pieces.portfolio(ACCOUNT, later(100))
    database.close()
