"""Which of the broker's orders a life of the book answers for, once a backup of it was restored."""

from __future__ import annotations

from types import SimpleNamespace

from tests.simulation.order_days.lives import Backup, Lives


def _orders(*references: str) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(broker_order_id=f"{number:010}", ref=ref)
        for number, ref in enumerate(references, start=1)
    ]


def _told(lives: Lives, *references: str) -> list[list[str]]:
    orders = _orders(*references)
    return [[order.ref for order in life] for life in lives.of_each(orders, len(orders))]  # type: ignore[arg-type]


def test_book_that_was_never_restored_answers_for_every_order() -> None:
    assert _told(Lives(), "A.1", "A.2") == [["A.1", "A.2"]]


def test_order_that_a_restored_book_sends_is_not_the_lost_ones_whatever_its_name() -> None:
    lives = Lives()
    morning = Backup(b"", lives.sent(0))
    lives.begin_anew(morning, taken=2)  # the lost life had planned A.3 too, and the broker never had it
    assert _told(lives, "A.1", "A.2", "A.3") == [["A.1", "A.2"], ["A.3"]]


def test_order_that_the_backup_knows_is_of_both_lives() -> None:
    lives = Lives()
    noon = Backup(b"", lives.sent(1))
    lives.begin_anew(noon, taken=2)
    assert _told(lives, "A.1", "A.2", "A.3") == [["A.1", "A.2"], ["A.1", "A.3"]]


def test_backup_of_a_restored_book_knows_what_its_own_life_had_sent_and_no_other() -> None:
    lives = Lives()
    lives.begin_anew(Backup(b"", lives.sent(1)), taken=2)
    evening = Backup(b"", lives.sent(3))
    lives.begin_anew(evening, taken=4)
    told = _told(lives, "A.1", "A.2", "A.3", "A.4", "A.5")
    assert told == [["A.1", "A.2"], ["A.1", "A.3", "A.4"], ["A.1", "A.3", "A.5"]]
