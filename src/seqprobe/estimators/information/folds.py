"""Cross-fitting: what is scored was not seen by the decoder that scores it.

Folds are whole sequences, because steps of one sequence are alike.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

FOLDS = 5


@dataclass(frozen=True)
class Folds:
    """The rows of each fold; row r belongs to sequence r // steps."""

    parts: tuple[Int[Tensor, " _"], ...]

    @classmethod
    def of(cls, sequences: int, steps: int, seed: int, device: torch.device) -> "Folds":
        """Five parts, as even as they can be."""
        drawn = torch.randperm(sequences, generator=torch.Generator().manual_seed(seed))
        within = torch.arange(steps)
        rows = [(part[:, None] * steps + within).flatten() for part in drawn.chunk(FOLDS)]
        return cls(tuple(part.to(device) for part in rows))

    def __len__(self) -> int:
        return len(self.parts)

    def others(self, index: int) -> Int[Tensor, " rows"]:
        """The rows outside one fold."""
        return torch.cat([part for i, part in enumerate(self.parts) if i != index])

    def some(self, index: int, rows: int, seed: int) -> Int[Tensor, " rows"]:
        """A few rows of one fold, drawn at random."""
        part = self.parts[index]
        order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))
        return part[order[:rows].to(part.device)]
