"""What one site keeps of the past, distance by distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64

from seqprobe.contracts import Estimate, Interval, Null
from seqprobe.estimators.information import DecodedBits
from seqprobe.estimators.information.decoded import NULL

METRICS = {
    "bits_at_distance": "bits",
    "total_bits": "bits",
    "horizon": "steps",
    "bits_per_state_float": "bits",
}


@dataclass(frozen=True)
class Kept:
    """Bits about each past input, and what is said about them."""

    site: str
    width: int
    lags: tuple[int, ...]
    bits: DecodedBits
    different: float
    """Logarithm of the number of different states where they are few, else infinite."""

    @classmethod
    def of(
        cls,
        site: str,
        width: int,
        states: Float[torch.Tensor, "sequences steps _"],
        lags: Sequence[int],
        bits: DecodedBits,
    ) -> Kept:
        """With the number of states counted; they may be a projection of `width` numbers."""
        rows = states.flatten(0, 1)
        direction = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(0))
        count = len((rows @ direction.to(rows)).unique())
        few = count < len(rows) // 10
        return cls(site, width, tuple(lags), bits, math.log2(count) if few else math.inf)

    @classmethod
    def everywhere(
        cls,
        site: str,
        states: Float[torch.Tensor, "sequences steps _"],
        lags: Sequence[int],
        bits: DecodedBits,
    ) -> Kept:
        """What every position keeps of its own input stays: no distance takes anything away."""
        same = [0] * len(lags)
        spread = replace(
            bits,
            held_out=bits.held_out[:, same],
            null=bits.null[:, same],
            seen=bits.seen[same],
            second=bits.second[same],
            entropy=bits.entropy[same],
            unusable=tuple(bits.unusable[0] for _ in same),
            by_class=None,
        )
        return cls(site, states.shape[2], tuple(lags), spread, math.inf)

    def metrics(self, distance: int) -> dict[str, Estimate]:
        """The headline numbers; all of them missing where no lag can be estimated."""
        if all(self.bits.reasons):
            why = self.bits.reasons[0]
            return {name: Estimate.missing(unit, why) for name, unit in METRICS.items()}
        return {
            "bits_at_distance": self._at(distance),
            "total_bits": self.bits.total(1.0, self._most),
            "horizon": self._horizon(),
            "bits_per_state_float": self.bits.total(1 / self.width, self._most / self.width),
        }

    @property
    def _most(self) -> float:
        """No more than this in all, of independent inputs."""
        return min(float(self.bits.entropy.sum()), self.different)

    def _at(self, distance: int) -> Estimate:
        if distance in self.lags:
            return self.bits.estimates()[self.lags.index(distance)]
        because = f"distance {distance} was not measured; {self.lags[-1]} was"
        return Estimate.missing("bits", because)

    def _horizon(self) -> Estimate:
        bits, longest = self.bits, self.lags[-1]
        held, lost = self._entered(bits.low)[0], self._entered(bits.high)[1]
        return Estimate.sampled(
            held, "steps", Interval(held, lost), n=len(bits.held_out), longest=float(longest),
            null=Null(NULL, self._entered(bits.null.mean(0))[0]),
            beyond=f"the state still holds something at {longest} steps, the longest measured",
        )  # fmt: skip

    def _entered(self, curve: Float64[np.ndarray, " lags"]) -> tuple[float, float]:
        """Between which distances a curve enters the null band: not all of them are measured."""
        place = self.bits.entry(curve)
        if place in (0, math.inf):
            return place, place
        first = int(place)
        return float(self.lags[first - 1] + 1), float(self.lags[first])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Say when samples are too few for the width, or more was found than there can be."""
        bits, warnings = self.bits, []
        if "undersampled" in bits.verdicts or any(bits.reasons):
            needed = math.ceil(bits.parameters / 0.139)
            warnings.append(
                f"{bits.rows} samples for a state of {self.width} numbers: the bound may be up to "
                f"{bits.shortfall:.2f} bits per symbol too low; {needed} would bring that to 0.1: "
                "raise --limit"
            )
        if bits.low.clip(0).sum() > self._most + 0.01:
            warnings.append(
                "more bits were found than independent symbols and the different states allow: "
                "the symbols are not independent, or sequences repeat"
            )
        return tuple(warnings)

    @property
    def columns(self) -> dict[str, object]:
        """Of its part of the table."""
        bits = self.bits
        return {
            "distance": self.lags,
            "site": self.site,
            "lower_bound": bits.lower,
            "low": bits.low,
            "high": bits.high,
            "estimate": bits.estimate,
            "null": bits.null.mean(0),
            "null_high": bits.band,
            "ceiling": bits.entropy,
            "verdict": np.array(bits.verdicts),
        }
