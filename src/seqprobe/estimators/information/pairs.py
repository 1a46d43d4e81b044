"""Pairs of real-valued vectors in sequences: what is fit to be measured, and what is not.

Rows of one sequence depend on each other, sequences do not: whoever holds data out, draws
unrelated pairs or resamples does so by whole sequences.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES

TIES = 0.05
"""Share of repeated rows that rounding may cause; more means copies or discrete values."""


@dataclass(frozen=True)
class Pairs:
    """Row i of `x` belongs to row i of `y`; rows of one sequence are neighbours, numbered from 0.

    Constant columns are left out. `refusal` says why nothing can be estimated, or is empty.
    """

    x: Float64[Tensor, "samples x"]
    y: Float64[Tensor, "samples y"]
    sequences: Int64[Tensor, " samples"]
    refusal: str = ""

    @classmethod
    def of(
        cls, x: Tensor, y: Tensor, sequences: Tensor | None = None, *, discrete_y: bool = False
    ) -> "Pairs":
        """Check shapes (ValueError) and values (`refusal`); without sequences each row is one."""
        _check_shapes(x, y, sequences)
        x, y = (side.detach().to("cpu", torch.float64) for side in (x, y))
        numbers = numbered(sequences, len(x))
        order = numbers.argsort(stable=True)
        refusal = _refusal(x, y, numbers, discrete_y)
        return cls(_varying(x)[order], _varying(y)[order], numbers[order], refusal)

    @property
    def samples(self) -> int:
        """Number of pairs."""
        return len(self.x)

    @property
    def count(self) -> int:
        """Number of sequences."""
        return int(self.sequences[-1]) + 1

    def elsewhere(self) -> "Pairs":
        """Every x with the y of another sequence: nothing to find, and the same margins.

        All rows of y move on by the same number, to where a sequence begins if possible: steps
        keep their order and, in sequences of one length, their position.
        """
        lengths = self.sequences.bincount()
        longest, middle = int(lengths.max()), self.samples // 2
        starts = lengths.cumsum(0)
        nearest = int(starts[(starts - middle).abs().argmin()])
        shift = min(max(nearest, longest), self.samples - longest)
        return Pairs(self.x, self.y.roll(shift, 0), self.sequences)

    def folds(self, number: int, seed: int) -> list[Int64[Tensor, " rows"]]:
        """The rows of each of so many groups of whole sequences."""
        generator = torch.Generator().manual_seed(seed)
        fold = torch.randperm(self.count, generator=generator) * number // self.count
        return [(fold[self.sequences] == index).nonzero()[:, 0] for index in range(number)]

    def unrelated(
        self, rows: Int64[Tensor, " rows"], generator: torch.Generator
    ) -> Int64[Tensor, " rows"]:
        """For each row (ascending) a random one among them that is of another sequence."""
        return rows[of_another(self.sequences[rows], generator)]


def of_another(
    sequences: Int64[Tensor, " rows"], generator: torch.Generator
) -> Int64[Tensor, " rows"]:
    """For each row the index of a random one of another sequence; theirs are neighbours."""
    _, group, lengths = sequences.unique_consecutive(return_inverse=True, return_counts=True)
    length, begin = lengths[group], (lengths.cumsum(0) - lengths)[group]
    uniform = torch.rand(len(group), generator=generator, dtype=torch.float64)
    drawn = (uniform * (len(group) - length)).long()
    moved: Tensor = drawn + length * (drawn >= begin)
    return moved


def numbered(sequences: Tensor | None, samples: int) -> Int64[Tensor, " samples"]:
    """Sequences numbered from 0; None makes every row its own."""
    if sequences is None:
        return torch.arange(samples)
    numbers: Tensor = sequences.detach().cpu().unique(return_inverse=True)[1]
    return numbers


def repeated(side: Float64[Tensor, "samples width"]) -> float:
    """Share of rows that equal an earlier one."""
    return 1 - len(np.unique(side.numpy(), axis=0)) / len(side)


def too_few(numbers: Int64[Tensor, " samples"]) -> str:
    """Why these sequences allow no interval, or nothing."""
    lengths = numbers.bincount()
    if len(lengths) < FEWEST_SEQUENCES:
        return f"{len(lengths)} sequences are too few; at least {FEWEST_SEQUENCES} are needed"
    if 2 * int(lengths.max()) > len(numbers):
        return "one sequence holds more than half of all samples: there is nothing to hold out"
    return ""


def unfit(name: str, side: Float64[Tensor, "samples width"], *, discrete: bool = False) -> str:
    """Why one side cannot be measured, or nothing."""
    if not side.isfinite().all():
        return f"{name} has infinite or undefined values"
    if not _varying(side).shape[1]:
        return f"{name} is constant: it has zero variance"
    if not discrete and (share := repeated(side)) > TIES:
        return (
            f"{share:.0%} of the rows of {name} repeat another one: "
            "the data were copied, or are discrete"
        )
    return ""


def _refusal(
    x: Float64[Tensor, "samples x"],
    y: Float64[Tensor, "samples y"],
    numbers: Int64[Tensor, " samples"],
    discrete_y: bool,
) -> str:
    if because := too_few(numbers) or unfit("x", x) or unfit("y", y, discrete=discrete_y):
        return because
    width = x.shape[1] + y.shape[1]
    return f"{len(x)} samples are too few for {width} dimensions" if len(x) <= width else ""


def _varying(side: Float64[Tensor, "samples width"]) -> Float64[Tensor, "samples varying"]:
    return side[:, side.amax(0) > side.amin(0)] if len(side) else side[:, :0]


def _check_shapes(x: Tensor, y: Tensor, sequences: Tensor | None) -> None:
    shapes = f"x {tuple(x.shape)} and y {tuple(y.shape)}"
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(
            f"pairs do not match; got {shapes}; expected (samples, x) and (samples, y)"
        )
    if sequences is not None and sequences.shape != (len(x),):
        raise ValueError(
            f"every sample needs the number of its sequence; got {tuple(sequences.shape)} numbers "
            f"for {shapes}; expected ({len(x)},)"
        )
