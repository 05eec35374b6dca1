"""A quick replace of a named tuple answers what the usual one answers."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from engine.execution.ticket import Phase, TicketState
from engine.model.rows import quickly_replaced


class _Usual(NamedTuple):
    first: int = 1
    second: str = "two"
    third: float = 3.0


@quickly_replaced
class _Quick(NamedTuple):
    first: int = 1
    second: str = "two"
    third: float = 3.0


def test_quick_replace_of_fields_is_that_of_a_named_tuple() -> None:
    quick = _Quick()._replace(third=4.0, first=0)
    assert quick == _Usual()._replace(third=4.0, first=0) == (0, "two", 4.0)
    assert type(quick) is _Quick
    assert (quick.first, quick.second, quick.third) == (0, "two", 4.0)


def test_quick_replace_leaves_the_row_it_was_made_from() -> None:
    row = _Quick()
    assert row._replace() == row
    assert row._replace(second="other") != row
    assert row == (1, "two", 3.0)


def test_quick_replace_of_an_unknown_field_raises() -> None:
    with pytest.raises(ValueError, match="found 'fourth'"):
        _Quick()._replace(fourth=1)  # type: ignore[call-arg]


def test_state_of_a_ticket_changes_every_field_by_its_name() -> None:
    before = TicketState()
    for name in TicketState._fields:
        changed = before._replace(**{name: Phase.DONE})
        assert getattr(changed, name) is Phase.DONE
        assert [
            other for other in TicketState._fields if getattr(changed, other) != getattr(before, other)
        ] == [name]
