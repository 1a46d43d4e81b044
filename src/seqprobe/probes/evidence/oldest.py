"""Until when the oldest token changes the output, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Observation, Series

SEQUENCES, OTHERS = 3, 2
ROUNDING, SHOWN = 16, 40


@dataclass(frozen=True)
class Oldest:
    """The largest change of any output, relative to the largest output, over distance.

    `reach` is None where it cannot be told, because of `reason`. `rounding` is a change that the
    last bits make.
    """

    change: Float64[np.ndarray, " distances"]
    rounding: float
    reason: str = ""

    @classmethod
    def of(cls, evidence: Evidence) -> Oldest:
        """From what `changed` found."""
        rounding = ROUNDING * float(evidence["precision"][0])
        if not evidence["causal"].all():
            return cls(np.zeros(0), rounding, "outputs depend on later inputs, on their number too")
        if not evidence["steady"].all():
            return cls(np.zeros(0), rounding, "the same inputs give other outputs when read again")
        return cls(evidence["change"].max(0), rounding)

    @property
    def furthest(self) -> int:
        """The last distance at which a bit changes."""
        return int(np.flatnonzero(self.change).max(initial=0))

    @property
    def ends(self) -> bool:
        """Whether there are distances beyond at which nothing changes."""
        return not self.reason and self.furthest < len(self.change) - 1

    @property
    def fades(self) -> bool:
        """Whether the last change is as small as rounding: no window cut it off."""
        return bool(self.change[self.furthest] <= self.rounding)

    @property
    def reach(self) -> Estimate:
        """The last distance at which a bit changes."""
        if self.reason:
            return Estimate.missing("steps", self.reason)
        if self.ends:
            return Estimate(float(self.furthest), "steps", exact=True)
        because = f"the output still changes at {self.furthest:,} steps, the longest measured"
        return Estimate.missing("steps", because, low=float(self.furthest), exact=True)

    @property
    def above_rounding(self) -> Estimate:
        """The last distance at which more changes than rounding may do."""
        if self.reason:
            return Estimate.missing("steps", self.reason)
        last = float(np.flatnonzero(self.change > self.rounding).max(initial=0))
        if last < len(self.change) - 1:
            return Estimate(last, "steps", exact=True)
        because = f"more than rounding changes at {last:,.0f} steps, the longest measured"
        return Estimate.missing("steps", because, low=last, exact=True)

    def table(self) -> Series:
        """Some distances, and the two around the end."""
        some = np.geomspace(1, max(len(self.change), 1), SHOWN).round() - 1
        around = [self.furthest, self.furthest + 1] if self.ends else []
        distance = np.unique([*some, *around]).astype(int)[: len(self.change)]
        columns = {"distance": distance, "change": self.change[distance]}
        return Series.of("window-reach", columns, {"distance": "steps"})


def changed(
    observation: Observation, length: int, generators: list[np.random.Generator]
) -> Evidence:
    """What replacing the first input by each of a few others changes, one row per generator.

    Each sequence is read alone, since the last bits depend on the size of a batch.
    """
    rows = [_alone(observation, length, generator) for generator in generators]
    largest, steady = zip(*rows, strict=True)
    return {"change": np.stack(largest), "steady": np.array(steady)}


def _alone(
    observation: Observation, length: int, generator: np.random.Generator
) -> tuple[Float64[np.ndarray, " time"], bool]:
    """The largest change at each step, and whether reading again changes nothing."""
    assert observation.rerun is not None
    inputs = _drawn(observation, length, generator)[None]
    plain = observation.rerun(inputs)
    largest = torch.zeros_like(again := change(plain, observation.rerun(inputs))[0])
    for _ in range(OTHERS):
        edited = inputs.clone()
        edited[0, :1] = _another(observation, edited[0, :1], generator)
        largest = torch.maximum(largest, change(plain, observation.rerun(edited))[0])
    return largest.cpu().numpy(), not again.any()


def change(
    plain: Float[Tensor, "rows time classes"], other: Float[Tensor, "rows time classes"]
) -> Float64[Tensor, "rows time"]:
    """The largest difference at each step, relative to the largest output of its row.

    Exactly zero where no bit differs, infinite where one of them alone is finite.
    """
    same = (plain == other) | (plain.isnan() & other.isnan())
    largest = plain.abs().where(plain.isfinite(), 0).amax((1, 2)).double().clamp(min=1e-300)
    difference = (plain.double() - other.double()).abs().where(~same, 0.0).amax(-1)
    return difference.nan_to_num(nan=torch.inf, posinf=torch.inf) / largest[:, None]


def _drawn(
    observation: Observation, length: int, generator: np.random.Generator
) -> Int[Tensor, " time"] | Float[Tensor, "time features"]:
    """Independent symbols, or noise."""
    like = observation.inputs
    if observation.alphabet is None:
        noise = generator.standard_normal((length, *like.shape[2:]))
        return torch.from_numpy(noise).to(like)
    symbols = observation.alphabet.to(like)
    return symbols[torch.from_numpy(generator.integers(len(symbols), size=length)).to(like)]


def _another(observation: Observation, present: Tensor, generator: np.random.Generator) -> Tensor:
    """Another symbol, or other noise."""
    if observation.alphabet is None:
        return _drawn(observation, 1, generator)
    others = observation.alphabet[observation.alphabet != present.item()]
    return others[[int(generator.integers(len(others)))]].to(present)
