"""Leave to trade real money: a signed file that names account, mode, port and code, and ends by itself.

The signature is an HMAC-SHA256 by the secret of FUND_ARM_KEY, which is in no file of ours and in no log. A live run
asks for leave before it opens anything, before every execution, and again with each order that is to leave.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.environment import load_environment
from engine.errors import ConfigurationError, RefusedError
from engine.model.context import Mode
from tasks.broker_place import BrokerPlace

LONGEST = timedelta(days=31)
"""Nobody arms for longer: a person looks again every month."""

SHORTEST_KEY = 16
"""Characters of a secret that can not be guessed by trying."""

LONGEST_FILE = 10_000
"""Bytes of a file of leave at most: a longer one was not written here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTerms:
    """What a person gave leave for: from ``made_at`` to before ``until``, both UTC."""

    account: str
    mode: str
    port: int
    code_version: str
    made_at: datetime
    until: datetime

    def signed_by(self, key: str) -> str:
        """The signature over every term."""
        text = json.dumps(_record(self), sort_keys=True)
        secret = key.encode("utf-8", "surrogateescape")  # the environment may hold bytes that are no text
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a run wants leave for."""

    home: Path
    place: BrokerPlace
    code_version: str


def arm_path(home: Path, account: str) -> Path:
    """Where an account's leave lies."""
    return home / "arm" / f"{account}.json"


def arm(wanted: Wanted, until: datetime, now: datetime) -> Path:
    """Give leave; raises `ConfigurationError` for a secret, an account or an end that will not do."""
    if wanted.place.is_paper:
        raise ConfigurationError(
            f"expected an account of real money to arm, found the paper account {wanted.place.account}; mode paper needs "
            "no leave"
        )
    if not now < until <= now + LONGEST:
        raise ConfigurationError(
            f"expected --until after {now:%Y-%m-%d %H:%M} UTC and at most {LONGEST.days} days ahead, found "
            f"{until:%Y-%m-%d %H:%M}"
        )
    terms = ArmTerms(
        account=wanted.place.account,
        mode=Mode.LIVE.value,
        port=wanted.place.port,
        code_version=wanted.code_version,
        made_at=now,
        until=until,
    )
    path = arm_path(wanted.home, terms.account)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    text = json.dumps({**_record(terms), "signature": terms.signed_by(_key())}, indent=1)
    draft.write_text(text + "\n", encoding="utf-8")
    draft.chmod(0o600)
    os.replace(draft, path)
    return path


def require_armed(wanted: Wanted, now: datetime) -> ArmTerms:
    """Raise `RefusedError` naming what does not agree; answers what leave was given for."""
    path = arm_path(wanted.home, wanted.place.account)
    terms, signature = _read(wanted, path)
    try:
        key = _key()
    except ConfigurationError as error:
        raise _refused(wanted, f"no secret to check it with ({error})") from error
    if not hmac.compare_digest(terms.signed_by(key).encode(), signature):
        raise _refused(wanted, f"a signature in {path} that FUND_ARM_KEY did not make over what stands there")
    asked = {
        "account": wanted.place.account,
        "mode": Mode.LIVE.value,
        "port": wanted.place.port,
        "code_version": wanted.code_version,
    }
    given = {name: getattr(terms, name) for name in asked}
    other = [f"{name} {given[name]} instead of {asked[name]}" for name in asked if given[name] != asked[name]]
    if other:
        raise _refused(wanted, f"leave in {path} for {', '.join(other)}")
    if not terms.made_at <= now < terms.until:
        raise _refused(
            wanted,
            f"leave in {path} from {terms.made_at:%Y-%m-%d %H:%M} to {terms.until:%Y-%m-%d %H:%M} UTC, and it is "
            f"{now:%Y-%m-%d %H:%M}",
        )
    return terms


def _refused(wanted: Wanted, found: str) -> RefusedError:
    place = wanted.place
    return RefusedError(
        f"expected leave to trade {place.account} live on port {place.port}, found {found}; nothing was sent: give it "
        f"with `fund arm --account {place.account} --port {place.port} --until TIME`"
    )


def _read(wanted: Wanted, path: Path) -> tuple[ArmTerms, bytes]:
    """The terms and the signature of a file; whatever else lies there is refused as no leave."""
    try:
        return _parsed(_text(path))
    except FileNotFoundError as error:
        raise _refused(wanted, f"no leave in {path}") from error
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        raise _refused(wanted, f"terms in {path} that can not be read ({type(error).__name__})") from error


def _text(path: Path) -> str:
    """What stands in a file; one that is none, or too long, is not read at all."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("something else than a file")
    with path.open("rb") as file:
        found = file.read(LONGEST_FILE + 1)
    if len(found) > LONGEST_FILE:
        raise ValueError("more than a file of leave")
    return found.decode("utf-8")


def _parsed(text: str) -> tuple[ArmTerms, bytes]:
    found: object = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("something else than terms")
    terms = ArmTerms(
        account=str(found["account"]),
        mode=str(found["mode"]),
        port=int(found["port"]),
        code_version=str(found["code_version"]),
        made_at=_time(found["made_at"]),
        until=_time(found["until"]),
    )
    return terms, str(found["signature"]).encode("utf-8")


def _time(text: object) -> datetime:
    found = datetime.fromisoformat(str(text))
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found.astimezone(UTC)


def _record(terms: ArmTerms) -> Mapping[str, object]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(terms).items()
    }


def _key() -> str:
    secret = load_environment().arm_key
    if secret is None or len(secret.get_secret_value()) < SHORTEST_KEY:
        raise ConfigurationError(
            f"expected a secret of at least {SHORTEST_KEY} characters in FUND_ARM_KEY, found "
            f"{'none' if secret is None else 'a shorter one'}; set it to one that nobody can guess"
        )
    return secret.get_secret_value()
