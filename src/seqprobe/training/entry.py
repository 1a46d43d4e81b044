"""What a session hands to its loggers: one measurement at one step of training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from seqprobe.results import Finding, Measurement


@dataclass(frozen=True)
class Training:
    """The run that entries belong to; the same object for all of them.

    `start`: updates done before the session began. `held_out`: what extra passes are fed.
    `every`: by check, how many updates lie between its measurements.
    """

    name: str
    family: str
    parameters: int
    distance: int
    start: int
    held_out: str
    every: Mapping[str, int]
    seed: int
    seqprobe: str
    created: str


@dataclass(frozen=True)
class Entry:
    """What one check measured after `step` updates of the weights.

    Without a `measurement`, `why_not` says why there is none. `findings` are the early warnings
    that this measurement set off.
    """

    training: Training
    step: int
    check: str
    measurement: Measurement | None
    why_not: str = ""
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0

    def scalars(self) -> dict[str, float]:
        """Estimated numbers by name, `check/metric`, as loggers of other tools take them."""
        return dict(self._scalars())

    def _scalars(self) -> Iterator[tuple[str, float]]:
        metrics = self.measurement.metrics if self.measurement else {}
        for name, estimate in metrics.items():
            if estimate.value is not None:
                yield f"{self.check}/{name}", estimate.value


Logger = Callable[[Entry], None]
"""Anything that takes an entry; one with a method `close` is closed when the session ends.

For W&B and MLflow that is `lambda entry: wandb.log(entry.scalars(), step=entry.step)` and
`lambda entry: mlflow.log_metrics(entry.scalars(), step=entry.step)`.
"""
