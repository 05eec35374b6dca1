"""Strict YAML: what a file says, and the file and line where it says so.

Refused are duplicate keys, merge keys, and plain scalars that YAML 1.1 reads as something else than they look
(``NO`` as false, ``08:00`` as 480, ``1_000`` as 1000). Numbers with a point become exact decimals. A document
is data plus the origin of every value, so that each later complaint can name a line.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import yaml

from engine.errors import ConfigurationError

Value: typing.TypeAlias = "bool | int | Decimal | str | date | tuple[Value, ...] | dict[str, Value] | None"
KeyPath: typing.TypeAlias = tuple[str | int, ...]

REPLACE_TAG = "!replace"
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value was written: a file's name and line, or an override on the command line (line 0)."""

    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source} line {self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Data of one or several merged files.

    ``origins`` knows every value; ``replaced`` names whole sections that a later file puts in the place of an
    earlier one's (``!replace``).
    """

    data: dict[str, Value]
    origins: Mapping[KeyPath, Origin]
    replaced: frozenset[KeyPath]

    def origin(self, path: KeyPath) -> Origin:
        """Origin of a value, or of the nearest section around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return Origin(source="the configuration", line=0)


def dotted(path: Iterable[str | int]) -> str:
    """A key path as a person writes it: ``fx.contracts.EUR``."""
    return ".".join(str(part) for part in path)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "x"?`` for the nearest valid name, or the valid names when none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; valid names here: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}" if names else ""


def read_document(path: Path) -> Document:
    """Read one YAML file; raises `ConfigurationError` with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"expected a configuration file {path}, found none there") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"expected {path.name} in UTF-8: {error.reason} at byte {error.start}"
        ) from None
    return parse_document(text, path.name)


def parse_document(text: str, source: str) -> Document:
    """Document of YAML text whose root is a mapping; an empty file is an empty mapping."""
    reader = _Reader(source)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigurationError(_syntax_message(error, source)) from None
    data = {} if node is None else reader.value(node, ())
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"expected keys and values at the top of {source}, found {text.strip()[:40]!r}"
        )
    return Document(data=data, origins=reader.origins, replaced=frozenset(reader.replaced))


def parse_override(text: str) -> Document:
    """Document of one ``KEY=VALUE`` with a dotted key; the value is read as YAML."""
    key, separator, value_text = text.partition("=")
    if not separator or not key.strip():
        raise ConfigurationError(
            f"expected --set KEY=VALUE, found --set {text}; for example --set sleeves.core_index_rv=0.35"
        )
    source = f"--set {text}"
    reader = _Reader(source)
    try:
        node = yaml.compose(value_text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigurationError(_syntax_message(error, source)) from None
    path: KeyPath = tuple(part.strip() for part in key.split("."))
    value = None if node is None else reader.value(node, path)
    for part in reversed(path):
        value = {str(part): value}
    above = [path[:length] for length in range(1, len(path))]  # sections that no file has stand here too
    origins = {place: Origin(source=source, line=0) for place in [*reader.origins, *above, path]}
    # A collection given on the command line is meant as a whole.
    replaced = frozenset({path} if isinstance(node, yaml.MappingNode) else ())
    return Document(data=typing.cast(dict[str, Value], value), origins=origins, replaced=replaced)


def overlay(base: Document, top: Document) -> Document:
    """Lay a document over another: mappings are merged key by key, everything else is replaced."""
    replaced: set[KeyPath] = set()
    data = _merge(base.data, top, (), replaced)
    origins = {path: origin for path, origin in base.origins.items() if not _below(path, replaced)}
    kept = {
        path: origin
        for path, origin in top.origins.items()
        if path not in origins or not _is_section(top, path)
    }
    return Document(data=data, origins={**origins, **kept}, replaced=base.replaced)


def _merge(base: dict[str, Value], top: Document, path: KeyPath, replaced: set[KeyPath]) -> dict[str, Value]:
    section = _at(top.data, path)
    merged = dict(base)
    for key, value in section.items():
        here = (*path, key)
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and here not in top.replaced:
            merged[key] = _merge(below, top, here, replaced)
        else:
            merged[key] = value
            replaced.add(here)
    return merged


def _at(data: dict[str, Value], path: KeyPath) -> dict[str, Value]:
    for part in path:
        data = typing.cast(dict[str, Value], data[str(part)])
    return data


def _below(path: KeyPath, sections: set[KeyPath]) -> bool:
    return any(path[:length] in sections for length in range(1, len(path) + 1))


def _is_section(document: Document, path: KeyPath) -> bool:
    value: Value = document.data
    for part in path:
        if not isinstance(value, dict):
            return False
        value = value[str(part)]
    return isinstance(value, dict)


def _syntax_message(error: yaml.YAMLError, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it can not be read"
    where = (
        f"{source} line {mark.line + 1}" if mark is not None and not source.startswith("--set") else source
    )
    return f"expected YAML in {where}, found a syntax error: {problem}; check the indentation and the quotes"


class _Reader:
    """Turns one tree of YAML nodes into data and notes where each value stands."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.origins: dict[KeyPath, Origin] = {}
        self.replaced: set[KeyPath] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Value:
        self.origins[path] = self._origin(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item, (*path, row)) for row, item in enumerate(node.value))
        return self._scalar(typing.cast(yaml.ScalarNode, node), path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
        if node.tag == REPLACE_TAG:
            self.replaced.add(path)
        result: dict[str, Value] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            where = self._origin(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or key == "<<":
                raise ConfigurationError(f"expected a plain name as a key at {where}, found {key!r}")
            if key in result:
                raise ConfigurationError(
                    f'expected each key once, found "{dotted((*path, key))}" a second time at {where}'
                    f" (first at line {lines[key]}); remove one of them"
                )
            result[key] = self.value(value_node, (*path, key))
            self.origins[(*path, key)] = where
            lines[key] = where.line
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Value:
        text: str = node.value
        if node.style in ("'", '"', "|", ">"):
            return text
        kind = node.tag.removeprefix(_TAG)
        if kind == "null" and text in ("", "null", "~"):
            return None
        if kind == "bool" and text in ("true", "false"):
            return text == "true"
        if kind == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if kind == "float" and _DECIMAL.fullmatch(text):
            return self._decimal(text)
        if kind == "timestamp" and _DAY.fullmatch(text):
            return self._day(text, path)
        if kind == "str":
            return text
        raise ConfigurationError(
            f'expected a plain value for "{dotted(path)}" at {self._origin(node)}, found {text}, which YAML reads as'
            f' {_WORDS.get(kind, kind)}; write "{text}" in quotes for text, true or false for a choice,'
            " plain digits for a number"
        )

    def _decimal(self, text: str) -> Decimal:
        try:
            return Decimal(text)
        except InvalidOperation:  # pragma: no cover - the pattern admits only what Decimal reads
            raise ConfigurationError(f"expected a number in {self.source}, found {text}") from None

    def _day(self, text: str, path: KeyPath) -> date:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise ConfigurationError(
                f'expected a day of the calendar for "{dotted(path)}" in {self.source}, found {text}'
            ) from None

    def _origin(self, node: yaml.Node) -> Origin:
        return Origin(source=self.source, line=node.start_mark.line + 1)


_WORDS = {
    "bool": "a truth value",
    "int": "a number in another notation",
    "float": "a number in another notation",
    "timestamp": "a time",
    "null": "nothing",
}
