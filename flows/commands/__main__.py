"""The command line: ``./fund COMMAND``. Each group of commands lives in its own module and is loaded when used."""

from __future__ import annotations

import importlib
import sys

from engine.errors import ConfigurationError
from flows.commands.errors import EXIT_UNEXPECTED, EXIT_USAGE, report_failure

GROUPS = {
    "run": ("flows.commands.trading", "value the fund, decide, trade and report one or more days"),
    "resume": ("flows.commands.trading", "go on after a HALT was resolved or a run was interrupted"),
    "replay": ("flows.commands.trading", "decide a finished run again from its recorded inputs and compare"),
    "status": ("flows.commands.operating", "what ran, what is halted, what is held"),
    "resolve": ("flows.commands.operating", "answer a HALT with a choice and a reason"),
    "halt": ("flows.commands.operating", "stop all new orders now"),
    "kill": ("flows.commands.operating", "set the kill switch, which works with everything else down"),
    "report": ("flows.commands.operating", "print the report of a day again and say where its page is"),
    "orders": ("flows.commands.orders", "open and doubtful orders; resolve decides one with evidence"),
    "config": ("flows.commands.configuration", "check, show or describe the configuration"),
    "db": ("flows.commands.database", "upgrade or verify the book's database"),
    "investors": ("flows.commands.investors", "orders of investors: subscribe, redeem, list, withdraw"),
    "statement": (
        "flows.commands.statement",
        "import the broker's statement, book what it explains, assign what was lost",
    ),
    "simulated": (
        "flows.commands.simulated",
        "reset the simulated broker's account, move its cash, write its statement",
    ),
    "arm": ("flows.commands.arming", "give leave to trade an account of real money, for a limited time"),
    "contracts": ("flows.commands.contracts", "pin the broker's number of every contract of the fund"),
    "gateway": (
        "flows.commands.gateway",
        "a simulated gateway that the Interactive Brokers client connects to",
    ),
    "simulate": ("flows.commands.simulate", "live execution days under drawn faults and judge them"),
    "bench": ("flows.commands.benchmarks", "measure where the time goes"),
    "ui": ("flows.commands.interface", "start the Prefect server, a worker and the deployments"),
}
_RESULT_FILES = ("run", "resume", "simulate", "bench")
"""Commands whose ``--json`` takes a file; elsewhere it is a flag."""

_INTERRUPTED = 130
"""What Typer answers to Control-C."""

_NOT_CONFIRMED = (
    "expected a confirmation, found none; nothing changed: run it again and confirm, or give --yes"
)

SCRIPT_COMMANDS = {
    "test": "run the tests (adds the development lock)",
    "check": "format, lint, types and import contracts",
}


def main(arguments: list[str]) -> int:
    """Run one command and answer its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    name = arguments[0]
    if name not in GROUPS:
        return _unknown_command(name)
    return _run_group(GROUPS[name][0], arguments)


def _run_group(module: str, arguments: list[str]) -> int:
    import typer

    debug, as_json = "--debug" in arguments, wants_json(arguments)
    try:
        application: typer.Typer = importlib.import_module(module).application
        outcome = application(
            [argument for argument in arguments if argument != "--debug"],
            prog_name="fund",
            standalone_mode=False,
        )
    except typer.Abort:
        return report_failure(ConfigurationError(_NOT_CONFIRMED), debug=debug, as_json=as_json)
    except typer.TyperException as error:
        return _misused(error, arguments, debug=debug, as_json=as_json)
    except KeyboardInterrupt:
        return _stopped()
    except Exception as error:
        return report_failure(error, debug=debug, as_json=as_json)
    if outcome == _INTERRUPTED:
        return _stopped()
    return outcome if isinstance(outcome, int) else 0


def wants_json(arguments: list[str]) -> bool:
    """Whether standard output is to be JSON; with ``--json FILE`` it is not."""
    if "--json" not in arguments:
        return False
    following = arguments[arguments.index("--json") + 1 :][:1]
    return arguments[0] not in _RESULT_FILES or following == ["-"]


def _misused(error: Exception, arguments: list[str], *, debug: bool, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # the help is printed already
        return EXIT_USAGE
    told = getattr(error, "format_message", error.__str__)().strip().rstrip(".")
    text = f"the command line can not be understood: {told}; ./fund {arguments[0]} --help tells its options"
    return report_failure(ConfigurationError(text), debug=debug, as_json=as_json)


def _stopped() -> int:
    print("fund: stopped by the keyboard; ./fund resume goes on from here", file=sys.stderr)
    return EXIT_UNEXPECTED


def _overview() -> str:
    rows = {**{name: text for name, (_, text) in GROUPS.items()}, **SCRIPT_COMMANDS}
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {text}" for name, text in rows.items()]
    return "\n".join(
        [
            "usage: fund COMMAND [options]",
            "",
            *lines,
            "",
            "fund COMMAND --help tells the options of one command.",
        ]
    )


def _unknown_command(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, [*GROUPS, *SCRIPT_COMMANDS], n=1)
    hint = f"; did you mean {near[0]}?" if near else "; ./fund --help lists the commands"
    print(f"fund: expected a command, found {name!r}{hint}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
