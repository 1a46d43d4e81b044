"""Series in which each value depends on one earlier value alone, at a known lag."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.sequences.generator import generator

PHI = 0.9
_NAME = re.compile(r"synthetic:lag-([1-9]\d{0,5})")


@dataclass(frozen=True)
class LaggedStream:
    """x_t = 0.9 x_{t-lag} + noise, of unit variance; features do not depend on each other.

    The best forecast of the next value is 0.9 times the value `lag` - 1 steps before the present
    one, and its error has the variance 1 - 0.9² = 0.19. A change of that value by d moves it by
    d² 0.81 / (2 ln 2 0.19) bits, on average by 0.81 / (0.19 ln 2) = 6.15 bits where another value
    is drawn. No other value matters.
    """

    lag: int
    features: int
    dtype: torch.dtype
    seed: int = 0
    frequencies: None = None
    guess: None = None
    sha256: str = ""
    tokenization: str = "none"
    split: str = ""
    texts: None = None
    longest: None = None

    @property
    def source(self) -> str:
        return f"x_t = {PHI} x_{{t-{self.lag}}} + noise, {self.features} features"

    def take(self, numbers: Sequence[int], length: int) -> Float[Tensor, "batch length features"]:
        return torch.stack([self._sequence(number, length) for number in numbers]).to(self.dtype)

    def _sequence(self, number: int, length: int) -> Float[Tensor, "length features"]:
        """The first `lag` values are as independent as they are in the middle of a series."""
        noise = torch.randn(
            length, self.features, generator=generator(self.seed, number), dtype=torch.float64
        )
        parts = [noise[: self.lag]]
        for new in noise[self.lag :].split(self.lag):
            parts.append(PHI * parts[-1][: len(new)] + math.sqrt(1 - PHI**2) * new)
        return torch.cat(parts)


def lag_named(data: str) -> int | None:
    """The 48 in `synthetic:lag-48`; None where that is something else."""
    found = _NAME.fullmatch(data)
    return int(found[1]) if found else None
