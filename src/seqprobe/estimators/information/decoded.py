"""What decoders found, and how far it can be trusted."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float64

from seqprobe.contracts import SATURATED, Estimate, Null
from seqprobe.estimators.bootstrap import curve_interval, number_interval, resampled_means

NULL = "symbols of other sequences"
LOOSE = 0.1

Verdict = Literal[
    "none detected",
    "full",
    "bracketed",
    "undersampled",
    "loose",
    "vocabulary undersampled",
    "not estimable",
]


@dataclass(frozen=True)
class DecodedBits:
    """Bits about the symbol at each lag.

    `held_out` is a lower bound in the mean over sequences; `null` is the same for the symbols of
    other sequences. `seen` is its value on what the decoder was fitted to, `second` an estimate
    of another kind (nearest neighbours, normal theory); NaN where there is no such thing.
    `entropy` is what there is to know; `counted` says that it was counted on the very rows and is
    not known by design. `reasons` say for each lag why nothing can be estimated.
    """

    held_out: Float64[np.ndarray, "sequences lags"]
    null: Float64[np.ndarray, "sequences lags"]
    seen: Float64[np.ndarray, " lags"]
    second: Float64[np.ndarray, " lags"]
    entropy: Float64[np.ndarray, " lags"]
    counted: bool
    rows: int
    parameters: int
    seed: int = 0
    unusable: tuple[str, ...] = ()
    by_class: Float64[np.ndarray, "classes lags"] | None = None
    """`held_out` by the symbol that was there; NaN where it never was."""

    @property
    def lower(self) -> Float64[np.ndarray, " lags"]:
        """The lower bound."""
        mean: np.ndarray = self.held_out.mean(0)
        return mean

    @cached_property
    def _again(self) -> Float64[np.ndarray, "resamples lags"]:
        return resampled_means(self.held_out, self.seed)

    @cached_property
    def _interval(self) -> tuple[np.ndarray, np.ndarray]:
        return curve_interval(self._again, len(self.held_out))

    @property
    def low(self) -> Float64[np.ndarray, " lags"]:
        """Lower confidence limit of the bound, 97.5 % one-sided; sequences are drawn again."""
        return self._interval[0]

    @property
    def high(self) -> Float64[np.ndarray, " lags"]:
        """Upper confidence limit of the bound, not of the information."""
        return self._interval[1]

    @cached_property
    def band(self) -> Float64[np.ndarray, " lags"]:
        """What may be shown where there is nothing to find."""
        null = curve_interval(resampled_means(self.null, self.seed), len(self.null))[1]
        band: np.ndarray = np.maximum(null, 0.0)
        return band

    @cached_property
    def estimate(self) -> Float64[np.ndarray, " lags"]:
        """Our best guess; no bound. The bound itself where nothing is shown to be there.

        The optimism of what was seen and the pessimism of what was not cancel to first order in
        their mean.
        """
        lower = self.lower.clip(0)
        middle = np.where(np.isnan(self.seen), lower, (lower + self.seen.clip(0)) / 2)
        guess = np.fmax(middle, self.second).clip(lower, self.entropy)
        best: np.ndarray = np.where(self.low > self.band, guess, lower)
        return best

    def entry(self, curve: Float64[np.ndarray, " lags"]) -> float:
        """The first lag at which a curve lies in the null band; infinite if none does.

        Of `low` it is the first lag at which nothing is shown to be there.
        """
        inside = np.flatnonzero(~(curve > self.band))
        return float(inside[0]) if len(inside) else math.inf

    def total(self, share: float, ceiling: float) -> Estimate:
        """A share of the bound, summed up to the first lag at which nothing is shown to be there.

        For independent symbols the sum is a bound too, of what is known about all of them.
        """
        if all(self.reasons):
            return Estimate.missing("bits", self.reasons[0])
        kept = slice(0, int(min(self.entry(self.low), len(self.entropy))))
        rows, n = self.held_out[:, kept].sum(1) * share, len(self.held_out)
        null = Null(NULL, float(self.null[:, kept].sum(1).mean()) * share)
        interval = number_interval(resampled_means(rows[:, None], self.seed)[:, 0], n, self.seed)
        most = ceiling if math.isfinite(ceiling) else None
        found = Estimate.sampled(float(rows.mean()), "bits", interval, n=n, null=null, ceiling=most)
        return replace(found, lower_bound=True)

    @property
    def shortfall(self) -> float:
        """Bits that a decoder of so many parameters may lose to first order, for want of rows.

        Held-out loss exceeds the best possible one by parameters / 2N nats.
        """
        return self.parameters / (2 * math.log(2) * max(self.rows, 1))

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Why nothing can be said of a lag; empty where something can."""
        found = self.low > self.band
        lost = self.shortfall > self.entropy / 2
        scarce = (
            f"{self.rows} samples are too few to find anything with {self.parameters} numbers to "
            f"fit: up to {self.shortfall:.1f} bits may be lost; "
            f"{math.ceil(self.parameters / 0.139)} samples would lose 0.1"
        )
        known = self.unusable or ("",) * len(self.lower)
        return tuple(
            why or (scarce if few and not any_ else "")
            for why, few, any_ in zip(known, lost, found, strict=True)
        )

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What can be said of each lag, in two words."""
        return tuple(self._verdict(lag) for lag in range(len(self.lower)))

    def _verdict(self, lag: int) -> Verdict:
        if self.reasons[lag]:
            return "not estimable"
        if self.low[lag] <= self.band[lag]:
            return "none detected"
        if self.counted and self.entropy[lag] > math.log2(self.rows) - 2:
            return "vocabulary undersampled"
        if self.low[lag] >= SATURATED * self.entropy[lag]:
            return "full"
        if self.estimate[lag] - self.lower[lag] < LOOSE:
            return "bracketed"
        return "undersampled" if self.seen[lag] - self.lower[lag] > LOOSE else "loose"

    def estimates(self) -> tuple[Estimate, ...]:
        """The lower bound of each lag."""
        return tuple(self._estimate(lag) for lag in range(len(self.lower)))

    def _estimate(self, lag: int) -> Estimate:
        n = len(self.held_out)
        if self.reasons[lag]:
            return Estimate.missing("bits", self.reasons[lag], n=n)
        found = Estimate.sampled(
            float(self.lower[lag]),
            "bits",
            number_interval(self._again[:, lag], n, self.seed),
            n=n,
            null=Null(NULL, float(self.null[:, lag].mean()), None, float(self.band[lag])),
            ceiling=float(self.entropy[lag]) if np.isfinite(self.entropy[lag]) else None,
        )
        return replace(found, lower_bound=True)
