"""How a failure reaches the person at the terminal: one paragraph on stderr and an exit status."""

from __future__ import annotations

import json
import sys
import textwrap
import traceback

from engine.errors import FundError

EXIT_DONE, EXIT_UNEXPECTED, EXIT_USAGE, EXIT_HALTED, EXIT_EMERGENCY, EXIT_REFUSED = range(6)


def report_failure(error: BaseException, *, debug: bool, as_json: bool) -> int:
    """Print a failure as one paragraph and answer its exit status; a traceback only on request.

    Where standard output is to be JSON, it says the same there.
    """
    status = error.exit_status if isinstance(error, FundError) else EXIT_UNEXPECTED
    text = str(error) if isinstance(error, FundError) else _unexpected(error)
    if as_json:
        print(json.dumps({"error": type(error).__name__, "message": text, "exit_status": status}))
    # A path or an id stays whole, so that it can be copied.
    print(
        textwrap.fill(f"fund: {text}", width=100, break_on_hyphens=False, break_long_words=False),
        file=sys.stderr,
    )
    if debug:
        traceback.print_exception(error)
    return status


def _unexpected(error: BaseException) -> str:
    from state.database import said_by_database

    broken = said_by_database(error)
    if broken:
        return (
            f"expected the fund's book to take what is written, found: {broken}; nothing was ordered that is not in it: "
            "make the database and its disk usable again, then go on with ./fund resume"
        )
    detail = " ".join(str(error).split()) or "no message"
    return f"unexpected {type(error).__name__}: {detail}; run again with --debug to see where"
