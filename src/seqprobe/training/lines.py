"""What stands in a line of RUN.jsonl, apart from the header that begins each session."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from seqprobe.results import Estimate, Finding, Series
from seqprobe.training.entry import Entry, Training

SCHEMA = "seqprobe.training/1"
BEGINNING = f'{{"schema":"{SCHEMA}"'.encode()
DIGITS, MOST_ROWS = 6, 40


@dataclass(frozen=True)
class Line:
    """An entry as it is written down; `table` is the first one of its check, thinned."""

    step: Annotated[int, Field(ge=0, lt=2**53)]
    check: str
    seconds: float = 0.0
    why_not: str = ""
    headline: str = ""
    findings: tuple[Finding, ...] = ()
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    table: Series | None = None

    def __post_init__(self) -> None:
        if self.table is not None:
            _check(self.table)

    @classmethod
    def of(cls, entry: Entry) -> Line:
        """What is kept of an entry."""
        line = cls(entry.step, entry.check, entry.seconds, entry.why_not, findings=entry.findings)
        found = entry.measurement
        if found is None:
            return line
        return replace(
            line,
            headline=found.headline,
            metrics={name: each.brief() for name, each in found.metrics.items()},
            warnings=found.warnings,
            table=thinned(found.series[0]) if found.series else None,
        )


def header(training: Training) -> str:
    """The line that begins a session."""
    return _text({"schema": SCHEMA, "training": asdict(training)})


def text(line: Line) -> str:
    """The JSON of a line; what is as usual is left out."""
    return _text(_brief(line))


def thinned(table: Series, most: int = MOST_ROWS) -> Series:
    """At most so many rows, at places that lie denser near the first one; each place in full."""
    first = [row[0] for row in table.rows]
    places = list(dict.fromkeys(first))
    at_each = -(-len(first) // len(places)) if places else 1
    kept = {places[number] for number in _denser_near_zero(len(places), max(1, most // at_each))}
    rows = [row for row, place in zip(table.rows, first, strict=True) if place in kept]
    return replace(table, rows=tuple(rows[:most]))


def _denser_near_zero(count: int, most: int) -> list[int]:
    """Up to so many of the numbers below `count`, the first and the last among them.

    >>> _denser_near_zero(100, 6)
    [0, 2, 5, 15, 39, 99]
    """
    if count <= most:
        return list(range(count))
    spread = np.geomspace(1, count, most).round().astype(int) - 1
    return sorted({int(number) for number in spread})


def _text(contents: Mapping[str, Any]) -> str:
    return json.dumps(_short(contents), separators=(",", ":"), allow_nan=False) + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _short(part) for name, part in value.items()}
    return [_short(part) for part in value] if isinstance(value, list | tuple) else value


def _brief(value: Any) -> Any:
    """Dataclasses as dictionaries, without the fields that have their default."""
    if isinstance(value, Mapping):
        return {name: _brief(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_brief(part) for part in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    held = {each.name: (getattr(value, each.name), _default(each)) for each in fields(value)}
    return {name: _brief(own) for name, (own, usual) in held.items() if own != usual}


def _default(each: Any) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _check(table: Series) -> None:
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(f"{len(row)} cells in a row of {len(table.columns)} columns")
    for number, column in enumerate(table.columns):
        if column.type == "number" and any(isinstance(row[number], str) for row in table.rows):
            raise ValueError(f"words in the column {column.name!r} of numbers")
