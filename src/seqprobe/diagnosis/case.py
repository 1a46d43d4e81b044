"""What a rule may look at, and how it looks at it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from seqprobe.contracts import Estimate, Finding, Measurement


@dataclass(frozen=True)
class Demands:
    """A length in tokens, reading without end, bytes of memory: whatever the user needs.

    `refused` is what the model says of the length, where it does not take it.
    """

    length: int | None = None
    streaming: bool = False
    memory: int | None = None
    refused: str = ""


@dataclass(frozen=True)
class Case:
    """The measurements of one model, the distance that the user asks about, and the needs.

    `family` as in `SequenceModel`; `nonfinite` names tensors with NaN or infinity; `dtypes` are the
    number types of its weights. `length` is that of the sequences. `predicts`: whether it predicts
    the data better than token frequencies alone; None where that is not known. `real`: whether it
    reads real values.
    """

    measurements: Mapping[str, Measurement]
    distance: int
    family: str = "unknown"
    nonfinite: tuple[str, ...] = ()
    demands: Demands = Demands()
    dtypes: tuple[str, ...] = ()
    length: int = 0
    predicts: bool | None = None
    real: bool = False

    @property
    def reach(self) -> Estimate | None:
        """The last distance at which any edit changes a bit of the output: the furthest found."""
        found = [self.estimate(f"{check}.reach") for check in ("path-length", "window")]
        known = [each for each in found if each is not None]
        return max(known, key=lambda each: each.low or each.value or 0.0, default=None)

    def estimate(self, metric: str) -> Estimate | None:
        """A metric named `check.metric`, if it can support a finding at all."""
        found = self.metric(metric)
        return found if found is not None and found.supports_findings else None

    def metric(self, metric: str) -> Estimate | None:
        """A metric named `check.metric`, whatever it can support."""
        check, name = metric.split(".")
        measurement = self.measurements.get(check)
        found = measurement.metrics.get(name) if measurement else None
        return found.brief() if found else None


Rule = Callable[[Case], Iterable[Finding]]


def below(estimate: Estimate | None, threshold: float) -> bool:
    """Whether the whole interval lies below; an unbounded side never does."""
    if estimate is None:
        return False
    top = estimate.value if estimate.exact else estimate.high
    return top is not None and top < threshold


def above(estimate: Estimate | None, threshold: float) -> bool:
    """Whether the whole interval lies above."""
    if estimate is None:
        return False
    bottom = estimate.low if estimate.low is not None else estimate.value
    return (
        bottom is not None and bottom > threshold and (estimate.exact or estimate.low is not None)
    )
