"""Every failure the fund can name, as one tree.

FundError
├── ConfigurationError            the world was described wrongly (usage, YAML, limits)
├── DataError                     the market did not say what we need
│   ├── MissingMark               no usable price for a line that needs one
│   ├── MissingQuote              no two-sided live quote
│   ├── StaleQuote                a quote older than its limit
│   ├── MissingFxRate             no rate between two currencies
│   ├── NonFiniteValue            NaN or infinity where money is counted
│   ├── UnknownContract           a contract that no listing names
│   ├── StoreError                a market data store that is missing, half written or altered
│   └── StatementError            a broker's statement that is cut, of another account, or contradicts itself
├── BrokerError
│   ├── BrokerUnavailable         may be asked again (reads only)
│   └── BrokerRejected            the broker said no; asking again changes nothing
├── HaltError                     trading must stop until a person decides; carries the evidence
├── RefusedError                  a guard said no: another run holds the key, live is not armed, kill switch
│   └── SupersededError           another run took this one over
├── InterruptedRun                the process was asked to end and did; the next attempt goes on
└── InvariantError                a contract of our own code was broken
    └── IllegalTransition         a state machine was asked for an arrow that it does not have

Expected outcomes (halted, denied, skipped, expired, partly filled) are values, not exceptions. The text of each
error says what was expected, what was found and what to do.
"""

from __future__ import annotations


class FundError(Exception):
    """Root of all failures; the command line prints it as one paragraph."""

    exit_status = 1


class ConfigurationError(FundError):
    """The configuration or the command line asks for something that can not be."""

    exit_status = 2


class DataError(FundError):
    """Market or reference data is absent, late or impossible; ``subject`` is whose it is, if known."""

    def __init__(self, message: str = "", *, subject: str = "") -> None:
        self.subject = subject
        super().__init__(message)


class MissingMark(DataError):
    """A line needs a price and none is known."""


class MissingQuote(DataError):
    """A live two-sided quote was needed and is not there."""


class StaleQuote(DataError):
    """A quote is older than the limit of its use."""


class MissingFxRate(DataError):
    """Two currencies have no rate between them; a rate is never assumed."""

    def __init__(self, source: str, target: str, known: tuple[str, ...] = ()) -> None:
        self.source, self.target, self.known = source, target, known
        super().__init__(
            f"expected an exchange rate from {source} to {target}, found none"
            f" (known pairs: {', '.join(known) or 'none'}); refresh FX before valuing this currency",
            subject=source,
        )


class NonFiniteValue(DataError):
    """A NaN or an infinity, or nothing at all, stands where a number of money is counted."""


class UnknownContract(DataError):
    """A contract id that neither the universe nor a chain lists."""


class StoreError(DataError):
    """A market data store is missing, half written, or does not match its checksums."""

    exit_status = 2


class StatementError(DataError):
    """A broker's statement is truncated, of another account, or contradicts itself: refused whole."""

    exit_status = 5


class BrokerError(FundError):
    """The broker could not do, or would not do, what was asked."""


class BrokerUnavailable(BrokerError):
    """The broker did not answer; reads may be retried, sends never."""


class BrokerRejected(BrokerError):
    """The broker refused; the same request would be refused again."""


class HaltError(FundError):
    """Trading stops until a person resolves the halt.

    Parameters
    ----------
    kind : str
        Name of the halt kind, for example ``missed-fill``.
    message : str
        One sentence a portfolio manager understands.
    emergency : bool
        Whether an operator is needed in every case.
    subject : str
        Contract or currency in question, where it is one that no recorded step names.
    """

    def __init__(
        self, kind: str, message: str, *, emergency: bool = False, halt_id: str = "", subject: str = ""
    ) -> None:
        self.kind, self.emergency, self.halt_id, self.subject = kind, emergency, halt_id, subject
        self.exit_status = 4 if emergency else 3
        super().__init__(message)


class RefusedError(FundError):
    """A guard refused: nothing was changed."""

    exit_status = 5


class InterruptedRun(FundError):
    """The process was asked to end (SIGTERM) and ended in good order; the exit status is a shell's for that signal."""

    exit_status = 143


class InvariantError(FundError):
    """Our own code broke one of its contracts; nothing may be sent after this."""


class IllegalTransition(InvariantError):
    """A state machine received an event for which its table has no arrow: ``subject`` went from ``before`` to ``after``."""

    def __init__(self, message: str = "", *, subject: str = "", before: str = "", after: str = "") -> None:
        self.subject, self.before, self.after = subject, before, after
        super().__init__(message)


class SupersededError(RefusedError):
    """Another run took this one over: its orders and jobs are the other's, and it must stop."""
