"""What came of one probe; and of one batch, for every probe that saw it."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from seqprobe.contracts import Baseline, Measurement, Observation, Probe
from seqprobe.errors import NotApplicable
from seqprobe.models.calling import is_out_of_memory

_log = logging.getLogger("seqprobe")


@dataclass
class Outcome:
    """What came of one probe: a measurement, or why there is none."""

    probe: Probe
    baseline: Baseline | None = None
    measurement: Measurement | None = None
    not_applicable: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def open(self) -> bool:
        """Whether the probe still wants to see sequences."""
        return not (self.not_applicable or self.error)

    def afresh(self) -> "Outcome":
        """The same probe before it saw anything; what went wrong is not forgotten."""
        return replace(self, probe=replace(self.probe, evidence=()), seconds=0.0)

    def see(self, observation: Observation) -> None:
        """Show one batch to the probe."""
        with self._at_work():
            self.probe = self.probe.update(observation)

    def merge(self, other: "Outcome") -> None:
        """Add what came of the same probe on other sequences; the first failure is kept."""
        self.probe = self.probe.merge(other.probe)
        self.seconds += other.seconds
        if self.open:
            self.not_applicable, self.error = other.not_applicable, other.error

    def compute(self) -> None:
        """The measurement, from all that was seen."""
        if self.open and self.probe.evidence:
            with self._at_work():
                self.measurement = self.probe.compute()

    @contextmanager
    def kept_apart(self) -> Iterator[None]:
        """What goes wrong in one probe is written down here; the others go on."""
        try:
            yield
        except NotApplicable as reason:
            self.not_applicable = str(reason)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            _log.debug("%s failed", self.probe.id, exc_info=True)
            self.error = f"{type(error).__name__}: {error}"

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        started = time.monotonic()
        with self.kept_apart():
            yield
        self.seconds += time.monotonic() - started


class Part(NamedTuple):
    """What one batch gave, probe by probe, and how far the probed forward was from the plain one.

    Outcomes hold the evidence of this batch alone.
    """

    numbers: range
    outcomes: Sequence[Outcome]
    difference: float | None = None
