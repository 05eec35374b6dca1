"""A figure that is no number, put into every place where a day reads money, is found there by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.composition.stages import DayInputs
from engine.errors import DataError, InvariantError, NonFiniteValue
from engine.model.encoding import encode
from engine.model.impossible import impossible_figure, require_possible
from tests.factories import DAYS, days_run, new_world, recorded_inputs

D = Decimal
BAD = (D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity"))
Path = tuple[object, ...]


@cache
def day() -> DayInputs:
    """What the fifth decision of a fund read: a book, fills of yesterday, dividends, loans, options, a former day."""
    world = new_world(days_run().home)
    inputs = recorded_inputs(world, DAYS[-1])
    world.close()
    return inputs


def figures(value: object, path: Path = ()) -> Iterator[Path]:
    """Way to every exact number of a record."""
    if isinstance(value, Decimal):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from figures(item, (*path, key))
    elif isinstance(value, tuple):
        for row, item in enumerate(value):
            yield from figures(item, (*path, row))
    elif is_dataclass(value):
        for field in fields(value):
            if field.init:
                yield from figures(getattr(value, field.name), (*path, field.name))


def put(value: object, path: Path, figure: object) -> object:
    """The record with another figure in one place."""
    if not path:
        return figure
    name, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, name: put(value[name], rest, figure)}
    if isinstance(value, tuple):
        assert isinstance(name, int)
        return (*value[:name], put(value[name], rest, figure), *value[name + 1 :])
    assert is_dataclass(value)
    assert not isinstance(value, type)
    return replace(value, **{str(name): put(getattr(value, str(name)), rest, figure)})


@cache
def places() -> tuple[Path, ...]:
    return tuple(figures(day()))


def kind_of(path: Path) -> str:
    """A place without whose it is: ``market.marks.*.price``."""
    spelled = [str(part) for part in path]
    kinds = [*spelled]
    here: object = day()
    for row, part in enumerate(path):
        if isinstance(here, Mapping | tuple):
            kinds[row] = "*"
            here = here[part]  # type: ignore[index]
        else:
            here = getattr(here, str(part))
    return ".".join(kinds)


MAY_BE_ABSENT = frozenset(
    {
        "strike",
        "mark",
        "net_liquidation",
        "excess_liquidity",
        "bid",
        "ask",
        "last",
        "close",
        "commission",
        "price",
        "quantity",
    }
)
"""Last names of figures that their source need not give; who needs one asks for it and says that it is missing."""


def refused_or_found(path: Path, figure: object) -> str | None:
    """What is said of a record with that figure in it: by the value that will not be made, or by the search."""
    try:
        broken = put(day(), path, figure)
    except (DataError, InvariantError) as error:
        return str(error)
    return impossible_figure(broken)


@given(data=st.data())
def test_bad_figure_in_any_place_is_refused_or_found_there(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places()))
    figure = data.draw(st.sampled_from((*BAD, None)))
    told = refused_or_found(path, figure)
    if told is None:
        assert figure is None
        assert path[-1] in MAY_BE_ABSENT or path[0] == "memory", path
        return
    names = [part for part in path if isinstance(part, str)]
    assert any(re.search(re.escape(name), told) for name in names[-2:]), (path, told)


def test_every_kind_of_place_is_refused_or_found_with_every_bad_figure() -> None:
    kinds = {kind_of(path): path for path in places()}
    required = {
        "market.marks.*.price",
        "market.fx.rates.*.rate",
        "market.borrow.*.fee_bps_annual",
        "market.borrow.*.available_shares",
        "market.average_daily_volume.*",
        "portfolio.cash.*",
        "portfolio.positions.*.quantity",
        "portfolio.positions.*.cost",
        "broker.cash.*",
        "broker.fx.*",
        "broker.positions.*.quantity",
        "broker.positions.*.mark",
        "broker.positions.*.average_cost",
        "broker.net_liquidation",
        "broker.excess_liquidity",
        "broker.executions.*.price",
        "broker.executions.*.commission",
        "previous.valuation.nav",
    }
    assert required <= kinds.keys()
    for kind, path in kinds.items():
        for figure in BAD:
            assert refused_or_found(path, figure), kind


def test_sound_day_has_no_impossible_figure() -> None:
    assert impossible_figure(day()) is None
    assert encode(day())


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    contract_id: str
    price: Decimal
    fee: Decimal | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    rows: tuple[Row, ...]
    cash: Mapping[str, Decimal]


@pytest.mark.parametrize(
    ("rows", "cash", "place"),
    [
        ((Row(contract_id="ES", price=D(1)),), {"USD": D("NaN")}, "cash[USD]"),
        ((Row(contract_id="ES", price=D("Infinity")),), {}, "rows[ES].price"),
        ((Row(contract_id="ES", price=D(1), weight=float("nan")),), {}, "rows[ES].weight"),
        ((Row(contract_id="ES", price=D(1), fee=D("NaN")),), {}, "rows[ES].fee"),
        ((Row(contract_id="ES", price=None),), {}, "rows[ES].price"),  # type: ignore[arg-type]
        ((Row(contract_id="ES", price=D(1), fee=None),), {"USD": D(0)}, None),
    ],
)
def test_place_is_told_by_its_names(
    rows: tuple[Row, ...], cash: Mapping[str, Decimal], place: str | None
) -> None:
    table = Table(rows=rows, cash=cash)
    assert impossible_figure(table) == place
    if place is None:
        require_possible(table, "table")
        return
    with pytest.raises(NonFiniteValue, match=re.escape(f"table.{place}")) as refused:
        require_possible(table, "table")
    assert refused.value.subject == f"table.{place}"
