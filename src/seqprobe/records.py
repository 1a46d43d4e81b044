"""What stands in a report: the checks, the model, the data, the circumstances, the verdict."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from seqprobe.contracts import Baseline, Estimate, Measurement, Null, Probe, Status

FLOOR = "predicts the data better than token frequencies alone"
OWN_TEXT = "text sampled from the model itself"


@dataclass(frozen=True)
class Check:
    """One probe's measurement as it is written down.

    `value` to `null` repeat the headline metric, for readers that want one number per check.
    """

    id: str
    version: int
    title: str
    question: str
    status: Status
    headline: str
    value: float | None = None
    unit: str = ""
    interval: tuple[float | None, float | None] | None = None
    level: float | None = None
    n: int = 0
    null: Null | None = None
    threshold: str = ""
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    method: str = ""
    reading: str = ""
    limits: str = ""
    references: tuple[str, ...] = ()
    remedy: str = ""
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str = ""

    @classmethod
    def of(cls, probe: type[Probe], measurement: Measurement, **more: Any) -> Check:
        """Write down a measurement under its probe's name."""
        estimate = measurement.estimate
        bounded = estimate.low is not None or estimate.high is not None
        return cls(
            **_identity(probe),
            status="info",
            headline=measurement.headline,
            value=estimate.value,
            unit=estimate.unit,
            interval=(estimate.low, estimate.high) if bounded else None,
            level=None if estimate.exact else estimate.level,
            n=estimate.n,
            null=estimate.null,
            metrics=measurement.metrics,
            figures=tuple(series.id for series in measurement.series[:1]),
            tables=tuple(series.id for series in measurement.series),
            warnings=measurement.warnings,
            **more,
        )

    @property
    def own_metrics(self) -> dict[str, Estimate]:
        """Those of the model itself, without those of its baselines."""
        return {n: each for n, each in self.metrics.items() if not is_baseline(n, self.metrics)}

    @classmethod
    def without_result(cls, probe: type[Probe], status: Status, why: str) -> Check:
        """A check that did not apply, did not run, or failed."""
        error = why if status == "error" else ""
        return cls(**_identity(probe), status=status, headline=why, error=error)


def is_baseline(metric: str, metrics: Collection[str]) -> bool:
    """Whether it is another metric, measured on a baseline.

    >>> [is_baseline(name, ["horizon", "horizon_iid", "gain_iid"]) for name in
    ...  ("horizon", "horizon_iid", "gain_iid")]
    [False, True, False]
    """
    others = {*metrics} - {metric}
    return any(metric.removesuffix(f"_{each}") in others for each in get_args(Baseline))


def _identity(probe: type[Probe]) -> dict[str, Any]:
    names = ("id", "version", "title", "question", "method", "reading", "limits", "references")
    return {name: getattr(probe, name) for name in names}


@dataclass(frozen=True)
class Figure:
    """What a figure shows; it is drawn from its table whenever a page is rendered."""

    id: str
    title: str
    alt: str
    caption: str
    table: str


@dataclass(frozen=True)
class Assumption:
    """Something that shapes do not tell about the model, and who decided it.

    `margin` is how much worse the best alternative predicts held-out data, `z` the same in
    standard errors. Alternatives are ruled out, or of no consequence, or still possible.
    """

    name: str
    value: str
    decided_by: Literal["file", "user", "likelihood", "default"]
    margin: float | None = None
    z: float | None = None
    alternatives: tuple[str, ...] = ()
    unit: str = ""
    alternatives_are: Literal["ruled out", "no different", "possible"] = "ruled out"

    @property
    def setting(self) -> Any:
        """The value as `--set` would take it."""
        try:
            return ast.literal_eval(self.value)
        except (ValueError, SyntaxError):
            return self.value


@dataclass(frozen=True)
class Verification:
    """One step of: how we know this is your model."""

    step: str
    status: Literal["passed", "failed", "not run"]
    value: float | str | None = None
    reference: str = ""

    @classmethod
    def better(cls, step: str, loss: float, floor: float, unit: str) -> Verification:
        """Whether a loss is below that of something simpler."""
        status: Literal["passed", "failed"] = "passed" if loss < floor else "failed"
        return cls(step, status, f"{loss:.3f} {unit}", f"{floor:.3f}")


@dataclass(frozen=True)
class ModelRecord:
    """Which model was measured. `plan` is what was recognised: embedding, mixers, sites, head.

    `dtypes` are the number types that it was measured in, `stored` those of its file.
    """

    name: str
    family: str
    parameters: int
    dtypes: tuple[str, ...]
    plan: Mapping[str, Any]
    source: Literal["module", "state_dict", "hf", "factory"] = "module"
    container: str = ""
    layout: str = ""
    sha256: str = ""
    bytes: int = 0
    unsafe_pickle: bool = False
    tied: tuple[str, ...] = ()
    nonfinite: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    verification: tuple[Verification, ...] = ()


@dataclass(frozen=True)
class DataRecord:
    """What the model was fed."""

    source: str
    sha256: str
    tokenizer: str
    sequences: int
    tokens: int
    split: str = ""
    unigram_nll: float | None = None


@dataclass(frozen=True)
class Environment:
    """Where and with what it was measured."""

    seqprobe: str
    python: str
    torch: str
    captum: str
    numpy: str
    scipy: str
    seaborn: str
    platform: str
    device: str
    dtype: str
    threads: int
    seed: int
    deterministic: bool
    float32: str = ""


@dataclass(frozen=True)
class Crossover:
    """The length at which another one of two models becomes the cheaper one.

    `length` is the first such length. `before` and `after` are the cheaper ones at the shortest
    measured length and just beyond this one (at the longest, if there is none); empty where both
    cost the same.
    """

    cost: str
    models: tuple[str, str]
    length: Estimate
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """How much one number of a model differs from the same number of the baseline.

    `models` are the baseline and the other one; `estimate` is the other's minus the baseline's, or
    a bound of it. `paired`: both read the same sequences, and their influences were subtracted.
    `chance`: of one at least as large if there were none; None where nothing was sampled or it is
    not known. `clear`: exact and not zero, or there after Holm's correction for all that are tested
    in the comparison.
    """

    check: str
    metric: str
    models: tuple[str, str]
    estimate: Estimate
    paired: bool = False
    clear: bool = False
    chance: float | None = None


@dataclass(frozen=True)
class Advice:
    """Which models something speaks for, by one measured number each.

    `models` are those that no other one is better than beyond both intervals; all of them, or
    none, where no difference was measured.
    """

    purpose: str
    metric: str
    models: tuple[str, ...]
    evidence: Mapping[str, Estimate]

    @property
    def decided(self) -> bool:
        """Whether it speaks for some models and not for others."""
        return 0 < len(self.models) < len(self.evidence)


@dataclass(frozen=True)
class Verdict:
    """One sentence, and how many checks have which status."""

    status: Status
    headline: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Steps:
    """After how many updates of one training each of its models was saved, and who says so."""

    values: tuple[int, ...]
    told_by: str

    @property
    def unit(self) -> str:
        """What is counted."""
        return "epoch" if "epoch" in self.told_by else "training step"
