"""Build a market data store from a folder of real data: ``python -m tests.real_data.build --source DIR --store DIR``.

The folder is laid out like the shared market data (other years and other symbols are welcome). A file that is not
there is noted in the store; only a folder with no usable line at all is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from engine.errors import FundError, StoreError
from tasks.adapters.store import COMPANIES, FX, PROBLEMS
from tasks.adapters.store_index import StoreIndex
from tasks.adapters.store_writing import store_draft
from tests.real_data import mapping, readers
from tests.real_data.companies import FILING_DAYS, company_columns
from tests.real_data.lines import Import, import_futures, import_indices, import_shares
from tests.real_data.problems import days_of, fx_problems
from tests.real_data.readers import Source, by_symbol

NOTES = (
    "Dividends are paid on their ex-date: the source records no pay dates.",
    "Lines marked total_return hold their dividends in their prices and pay none.",
    "Unadjusted US prices before 2009 may differ from the official close on volatile days.",
    "Futures have closes only; open, high, low and volume were not recorded.",
    "A contract's last recorded day stands as its first notice date, so that it is left while it has prices.",
    f"Annual accounts count as known {FILING_DAYS} days after the period's end; market value and Tobin's q are unknown.",
    "Quotes, order books and minute bars of the source are not imported.",
)


def build_store(source: Path, store: Path) -> StoreIndex:
    """Build a store and put it in the place of ``store``; raises `StoreError` when nothing can be imported."""
    if not source.is_dir():
        raise StoreError(f"expected a folder of market data at {source}, found none")
    with store_draft(store) as draft:
        job = Import(source=Source(folder=source), draft=draft)
        import_futures(job)
        import_shares(job)
        import_indices(job)
        _import_fx(job)
        _import_companies(job)
        if not job.lines:
            raise StoreError(
                f"expected market data in {source}, found no line that can be imported; nothing was written"
            )
        _write_problems(job)
        return draft.finish(_index(job))


def _index(job: Import) -> StoreIndex:
    missing = [f"the source has no {name}" for name in sorted(set(job.source.missing))]
    lines = dict(sorted(job.lines.items()))
    first, last = min(line.first for line in lines.values()), max(line.last for line in lines.values())
    return StoreIndex(
        name=f"recorded market {first.year} to {last.year}",
        lines=lines,
        provenance=job.source.read,
        notes=(*NOTES, *missing, *job.notes),
    )


def _import_fx(job: Import) -> None:
    pairs = by_symbol(job.source.table(readers.FX, "pair"), "pair")
    if not pairs:
        return
    rows = pd.concat(pairs.values(), ignore_index=True)
    columns = {name: rows[name].to_numpy(dtype=object) for name in ("pair", "source")}
    job.draft.write(FX, {**columns, "date": days_of(rows), "rate": rows["rate"].to_numpy(dtype=np.float64)})
    for pair, part in pairs.items():
        job.problems.extend(fx_problems(pair, part))


def _import_companies(job: Import) -> None:
    annual, securities = (
        job.source.table(readers.ANNUAL, "symbol"),
        job.source.table(readers.SECURITIES, "Ticker Symbol"),
    )
    if annual.empty or securities.empty:
        return
    ids = {symbol: mapping.us_share_id(symbol) for symbol in annual["symbol"].unique()}
    stored = {symbol: name for symbol, name in ids.items() if name in job.lines}
    columns = company_columns(annual, securities, stored)
    job.draft.write(COMPANIES, columns)
    without = len(stored) - len(set(columns["instrument"]))
    if without:
        job.notes.append(f"{without} companies have accounts but no known sector, and are left out")


def _write_problems(job: Import) -> None:
    found = sorted(job.problems, key=lambda problem: (problem.instrument, problem.date, problem.kind))
    job.draft.write(
        PROBLEMS,
        {
            "instrument": np.array([problem.instrument for problem in found], dtype=object),
            "date": np.array([problem.date for problem in found], dtype="datetime64[D]"),
            "kind": np.array([problem.kind for problem in found], dtype=object),
            "detail": np.array([problem.detail for problem in found], dtype=object),
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the importer; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.real_data.build", description=build_store.__doc__)
    parser.add_argument(
        "--source", type=Path, required=True, help="folder laid out like the shared market data"
    )
    parser.add_argument(
        "--store", type=Path, required=True, help="folder of the store; a store there is replaced"
    )
    given = parser.parse_args(arguments)
    try:
        index = build_store(given.source, given.store)
    except FundError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(
        f"{given.store}: {len(index.lines)} lines, {index.first_date} to {index.last_date}, digest {index.digest[:12]}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
