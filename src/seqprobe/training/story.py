"""The story of a training: what was measured after which update."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seqprobe.results import Estimate, Finding
from seqprobe.saving import save
from seqprobe.training.entry import Training
from seqprobe.training.lines import Line
from seqprobe.training.reading import Reading

if TYPE_CHECKING:
    import pandas

SCHEMA = "seqprobe.story/1"
RENDERERS = "seqprobe.story-renderers"
"""Entry points by file ending; each makes a text of a story."""


class Rung(NamedTuple):
    """An early warning, and the step at which it rang."""

    step: int
    finding: Finding


@dataclass(frozen=True)
class Story:
    """All that the sessions of a training wrote down.

    `trainings`: the record of each session, the last one is the latest. `lines`: what was
    measured, by step; what a later session measured again is there once.
    """

    name: str
    trainings: tuple[Training, ...]
    lines: tuple[Line, ...]

    @classmethod
    def read(cls, path: str | Path) -> Story:
        """Read what `JSONL` wrote; a last line that was cut off is left out.

        Raises:
            FileError: it is missing, empty, damaged, or something else.
        """
        reading = Reading(Path(path))
        reading.go_on()
        return cls.so_far(reading)

    @classmethod
    def so_far(cls, reading: Reading) -> Story:
        """What was read until now."""
        trainings, lines = reading.told()
        return cls(reading.path.name, trainings, lines)

    @property
    def training(self) -> Training:
        """The record of the last session."""
        return self.trainings[-1]

    @property
    def checks(self) -> list[str]:
        """Ids of what was measured, or was to be."""
        return list(dict.fromkeys(line.check for line in self.lines))

    @property
    def rung(self) -> list[Rung]:
        """The early warnings, in the order in which they rang."""
        return [Rung(line.step, found) for line in self.lines for found in line.findings]

    def of(self, check: str) -> list[Line]:
        """What was measured of one check, by step."""
        return [line for line in self.lines if line.check == check]

    def metrics(self, check: str) -> list[str]:
        """Names of the numbers of a check."""
        return list(dict.fromkeys(name for line in self.of(check) for name in line.metrics))

    def curve(self, check: str, metric: str) -> list[tuple[int, Estimate]]:
        """One number over the steps."""
        return [
            (line.step, line.metrics[metric]) for line in self.of(check) if metric in line.metrics
        ]

    def to_json(self) -> str:
        """The JSON text of `seqprobe.story/1`."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    def to_pandas(self) -> pandas.DataFrame:
        """One row per step and metric: step, check, metric, value, low, high, unit, n, reason."""
        import pandas

        names = ("step", "check", "metric", "value", "low", "high", "unit", "n", "reason")
        return pandas.DataFrame(self._rows(), columns=list(names))

    def _rows(self) -> Iterator[Sequence[object]]:
        for line in self.lines:
            for name, each in line.metrics.items():
                bounds = (each.value, each.low, each.high)
                yield (line.step, line.check, name, *bounds, each.unit, each.n, each.reason)

    def save(self, path: str | Path) -> Path:
        """Write JSON, or any form that an installed renderer provides, by the file's ending."""
        return save(self, path, RENDERERS, self)
