"""A curve of norms over distance, averaged over sequences, with its intervals.

Everything is a natural logarithm; -inf stands for exactly zero.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from seqprobe.estimators.bootstrap import (
    FEWEST_SEQUENCES,
    curve_interval,
    number_interval,
    resampled_means,
)
from seqprobe.estimators.decay import Fit, fit_decay
from seqprobe.estimators.projection import log_bias, log_error
from seqprobe.results import Interval

Curves = Float64[np.ndarray, "_ distances"]


@dataclass(frozen=True)
class SquaredNorms:
    """Logarithms of squared norms by (sequence, target, distance), each from some projections.

    `spread` is the variance of the logarithm between single projections; it is zero, and
    `vectors` is 1, where the norms are exact.
    """

    logs: Float64[np.ndarray, "sequences targets distances"]
    spread: Float64[np.ndarray, "sequences targets distances"]
    vectors: int = 1

    @property
    def projection_error(self) -> Float64[np.ndarray, " distances"]:
        """Relative standard error of the mean norm that the projections alone cause."""
        pairs = self.logs.shape[0] * self.logs.shape[1]
        spread = self.spread.mean((0, 1))
        error = log_error(spread, self.vectors) / 2 / math.sqrt(pairs)
        return np.where(spread > 0, error, 0.0)


@dataclass(frozen=True)
class DecayCurve:
    """Logarithms of mean norms relative to distance 0, and the same for sequences drawn again.

    `scale` is the logarithm of the mean norm at distance 0; `floor` that of the smallest norm
    that the arithmetic can hold.
    """

    relative: Float64[np.ndarray, " distances"]
    replicates: Float64[np.ndarray, "resamples distances"]
    scale: float
    sequences: int
    floor: float = -math.inf
    seed: int = 0
    """Of the draws behind `replicates`."""

    @classmethod
    def geometric(cls, norms: SquaredNorms, floor: float, seed: int) -> "DecayCurve":
        """Of the typical sequence: the geometric mean, freed of the bias of its projections."""
        logs, spread = norms.logs.mean(1), norms.spread.mean(1)
        lost = ~np.isfinite(logs)
        some = np.where(lost, 0.0, logs)

        def mean(rows: Curves, variance: Curves, gone: Curves) -> Curves:
            bias = np.where(variance > 0, log_bias(variance, norms.vectors), 0.0)
            return np.where(gone > 0, -np.inf, rows - bias)

        again = (_again(part, seed) for part in (some, spread, lost.astype(np.float64)))
        once = (part.mean(0, keepdims=True) for part in (some, spread, lost))
        return cls._relative_to_zero(mean(*once), mean(*again), len(logs), floor, seed)

    @classmethod
    def root_mean_square(cls, norms: SquaredNorms, floor: float, seed: int) -> "DecayCurve":
        """Of the few strong gradients: the root mean square."""
        largest = norms.logs.max((0, 1))
        shift = np.where(np.isfinite(largest), largest, 0.0)
        squares = np.exp(norms.logs - shift).mean(1)
        with np.errstate(divide="ignore"):
            once = np.log(squares.mean(0, keepdims=True)) + shift
            again = np.log(_again(squares, seed)) + shift
        return cls._relative_to_zero(once, again, len(squares), floor, seed)

    @classmethod
    def _relative_to_zero(
        cls, once: Curves, again: Curves, sequences: int, floor: float, seed: int
    ) -> "DecayCurve":
        with np.errstate(invalid="ignore"):
            relative, replicates = (0.5 * (logs - logs[:, :1]) for logs in (once, again))
        return cls(relative[0], replicates, 0.5 * float(once[0, 0]), sequences, floor, seed)

    @cached_property
    def fits(self) -> list[Fit]:
        """Laws of decay, the best first."""
        return fit_decay(self.relative, self.floor - self.scale) if self.alive else []

    @property
    def alive(self) -> bool:
        """Whether there is a gradient at distance 0."""
        return math.isfinite(self.scale)

    @property
    def window(self) -> int:
        """The longest distance."""
        return len(self.relative) - 1

    def sampled(self, statistic: Callable[[Curves], np.ndarray]) -> tuple[float, Interval | None]:
        """A number read off each of many curves, and its interval."""
        value = float(statistic(self.relative[None])[0])
        if not len(self.replicates):
            return value, None
        return value, number_interval(statistic(self.replicates), self.sequences, self.seed)

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the relative curve itself, not of its logarithm."""
        low, high = curve_interval(self.replicates, self.sequences)
        return np.exp(low), np.exp(high)


def _again(rows: Curves, seed: int) -> Curves:
    """Means of sequences drawn again; none where there are too few for an interval."""
    return resampled_means(rows, seed) if len(rows) >= FEWEST_SEQUENCES else rows[:0]
