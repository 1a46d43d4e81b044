"""The report: JSON is the product, everything else is a view of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from seqprobe.contracts import Estimate, Finding, Series
from seqprobe.embedded import embedded_json
from seqprobe.errors import FileError, UsageError
from seqprobe.names import distinct
from seqprobe.records import (
    Advice,
    Check,
    Crossover,
    DataRecord,
    Difference,
    Environment,
    Figure,
    ModelRecord,
    Steps,
    Verdict,
)
from seqprobe.results import AT_LEAST
from seqprobe.views import Viewable

if TYPE_CHECKING:
    import pandas

SCHEMA: Literal["seqprobe.report/1"] = "seqprobe.report/1"
COMPARISON: Literal["seqprobe.comparison/1"] = "seqprobe.comparison/1"
GIVE = "Give the page or the JSON that `seqprobe analyze` wrote."
T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Report(Viewable):
    """All that was measured on one model, as `seqprobe.report/1`."""

    created: str
    command: tuple[str, ...]
    distance: int
    environment: Environment
    model: ModelRecord
    data: DataRecord
    verdict: Verdict
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Series, ...]
    timing: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    schema: Literal["seqprobe.report/1"] = SCHEMA

    def __getitem__(self, id: str) -> Check:
        for check in self.checks:
            if check.id == id:
                return check
        raise KeyError(f"no check {id!r} in this report; it has {[c.id for c in self.checks]}")

    def __repr__(self) -> str:
        many = f"{len(self.checks)} checks, {len(self.findings)} findings"
        return f"<Report of {self.model.name!r}: {many}>"

    def table(self, id: str) -> Series:
        """One table by its id.

        Raises:
            UsageError: there is none of this id.
        """
        for table in self.tables:
            if table.id == id:
                return table
        raise UsageError(
            f"no table {id!r} in this report",
            expected="one of " + (", ".join(table.id for table in self.tables) or "none"),
            do="Choose one of these.",
        )

    def metric(self, name: str) -> Estimate | None:
        """One number by its full name, `check.metric`; None where it was not measured."""
        check, _, short = name.partition(".")
        return next((each.metrics.get(short) for each in self.checks if each.id == check), None)

    def at_least(self, gravity: str) -> tuple[Finding, ...]:
        """The findings as grave as `attention` or `problem`, or graver."""
        return tuple(each for each in self.findings if each.status in AT_LEAST[gravity])

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and dictionaries, ready for `json.dumps(..., allow_nan=False)`."""
        return json.loads(self.to_json())  # type: ignore[no-any-return]

    def to_json(self) -> str:
        """The JSON text of `seqprobe.report/1`."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, contents: Mapping[str, Any], where: str = "report") -> Report:
        """Read what `to_dict` wrote; fields that this version does not know are ignored."""
        return _valid(cls, SCHEMA, contents, where)

    @property
    def _contents(self) -> tuple[Any, ...]:
        return ((self,),)

    def to_pandas(self) -> pandas.DataFrame:
        """One row per metric: check, metric, value, low, high, unit, n, status, reason."""
        import pandas

        return pandas.DataFrame(
            {
                "check": check.id,
                "metric": name,
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "unit": estimate.unit,
                "n": estimate.n,
                "status": check.status,
                "reason": estimate.reason,
            }
            for check in self.checks
            for name, estimate in check.metrics.items()
        )

    def _plain_html(self) -> str:
        items = "".join(
            f"<li><b>{escape(f.status)}</b>: {escape(f.statement)}</li>" for f in self.findings
        )
        return (
            f"<p><b>{escape(self.model.name)}</b>: {escape(self.verdict.headline)}</p>"
            f"<ul>{items}</ul>"
        )


@dataclass(frozen=True, repr=False)
class Comparison(Viewable):
    """Several models measured in the same way, on the same sequences.

    `steps` where they are one model at several times of its training, in that order; then the
    differences are those of the last one from the first.
    """

    reports: tuple[Report, ...]
    crossovers: tuple[Crossover, ...] = ()
    steps: Steps | None = None
    differences: tuple[Difference, ...] = ()
    advice: tuple[Advice, ...] = ()
    caution: str = ""
    """Why differences are not paired."""
    schema: Literal["seqprobe.comparison/1"] = COMPARISON

    def __post_init__(self) -> None:
        if self.steps is not None and len(self.steps.values) != len(self.reports):
            raise ValueError(f"{len(self.steps.values)} steps of {len(self.reports)} reports")

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(repr(report.model.name) for report in self.reports)}>"

    @property
    def names(self) -> list[str]:
        """Of the models, by their files; numbered where two files share a name."""
        return distinct(report.model.name for report in self.reports)

    def to_json(self) -> str:
        """The JSON text of `seqprobe.comparison/1`: the reports, and where their costs cross."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @property
    def _contents(self) -> tuple[Any, ...]:
        return (self,)

    @property
    def ends(self) -> tuple[Report, ...]:
        """Those that stand side by side: all, or the first and the last one of a training."""
        return self.reports if self.steps is None else (*self.reports[:1], *self.reports[-1:])

    def _plain_html(self) -> str:
        return "".join(report._plain_html() for report in self.reports)

    def to_pandas(self) -> pandas.DataFrame:
        """One row per model and metric."""
        import pandas

        frames = {report.model.name: report.to_pandas() for report in self.reports}
        return pandas.concat(frames, names=["model"]).reset_index("model")


def load_reports(path: str | Path) -> Report | Comparison:
    """Read a report or a comparison, from its JSON or from its page.

    Raises:
        FileError: there is none in the file; whatever is in it, nothing of it is run.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        contents = _json(embedded_json(text) if text.lstrip().startswith("<") else text)
    except FileNotFoundError:
        raise FileError("no such report", where=str(path), do="Check the path.") from None
    except (ValueError, OSError, RecursionError) as error:
        raise FileError("not a report", where=path.name, got=str(error), do=GIVE) from error
    if not isinstance(contents, dict):
        raise FileError("not a report", where=path.name, got=type(contents).__name__, do=GIVE)
    if contents.get("schema") != COMPARISON:
        return Report.from_dict(contents, path.name)
    return _valid(Comparison, COMPARISON, contents, path.name)


def _json(text: str) -> Any:
    """Without NaN and infinity, which JSON does not have and reports may not hold."""

    def finite(number: str) -> float:
        if not math.isfinite(found := float(number)):
            raise ValueError(f"{number[:20]} is not a number that a report may hold")
        return found

    return json.loads(text, parse_float=finite, parse_constant=finite)


def _valid(kind: type[T], schema: str, contents: Mapping[str, Any], where: str) -> T:
    try:
        return TypeAdapter(kind).validate_python(contents)
    except ValidationError as error:
        first = error.errors()[0]
        raise FileError(
            f"not a {schema} report",
            where=where,
            got=f"{first['msg']} at {'.'.join(map(str, first['loc'])) or 'the top'}",
            do=GIVE,
        ) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `seqprobe.report/1`, as shipped in `report.schema.json`."""
    return {"$id": SCHEMA, **TypeAdapter(Report).json_schema()}
