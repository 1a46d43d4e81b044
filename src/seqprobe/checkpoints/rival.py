"""How much worse another value fits the data than the chosen one, and whether that decides."""

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

CERTAIN = 4.0
NOTHING, FAR = 0.002, 0.1


@dataclass(frozen=True)
class Difference:
    """Mean and standard error of paired differences of losses."""

    mean: float
    error: float

    @classmethod
    def of(cls, pairs: Float[Tensor, " examples"]) -> "Difference":
        """Of a loss minus another one, example by example."""
        count = len(pairs)
        return cls(float(pairs.mean()), float(pairs.std() / count**0.5) if count > 1 else math.inf)

    @property
    def z(self) -> float:
        """The mean in standard errors."""
        if not self.error:
            return math.copysign(math.inf, self.mean) if self.mean else 0.0
        return self.mean / self.error


@dataclass(frozen=True)
class Rival:
    """The best of the values that were not chosen: its loss above that of the chosen one, with
    outputs as they are and at the scale that suits it best.
    """

    value: Any
    plain: Difference
    scaled: Difference
    loss: float

    @property
    def beaten(self) -> bool:
        """Worse beyond doubt, at any scale."""
        return self.scaled.z > CERTAIN or not math.isfinite(self.plain.mean)

    @property
    def far(self) -> bool:
        """More than a tenth of the loss."""
        return self.scaled.mean > FAR * abs(self.loss)

    @property
    def harmless(self) -> bool:
        """Less than 0.2 % of the loss away, so that nothing is lost by not knowing."""
        return abs(self.plain.mean) + 2 * self.plain.error < NOTHING * abs(self.loss)
