"""Sequences of real numbers that the user has."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.generator import generator


@dataclass(frozen=True)
class Series:
    """Sequences of equal length; `whole`: nothing of the file is held out."""

    source: str
    sha256: str
    values: Float[Tensor, "sequences time features"]
    whole: bool = True


@dataclass(frozen=True)
class SeriesStream:
    """Windows of such sequences: which one, and from where, is drawn for each number."""

    series: Series
    dtype: torch.dtype
    seed: int = 0
    frequencies: None = None
    guess: None = None
    texts: None = None
    tokenization: str = "none"

    @property
    def source(self) -> str:
        sequences, time, features = self.series.values.shape
        part = "" if self.series.whole else "held-out "
        return f"{self.series.source}, {sequences:,} {part}series of {time:,} x {features} numbers"

    @property
    def sha256(self) -> str:
        return self.series.sha256

    @property
    def split(self) -> str:
        return "all of it" if self.series.whole else "held out"

    @property
    def longest(self) -> int:
        return self.series.values.shape[1]

    def take(self, numbers: Sequence[int], length: int) -> Float[Tensor, "batch length features"]:
        if length > self.longest:
            raise UsageError(
                "the series are shorter than one sequence",
                where=self.series.source,
                got=f"{self.longest} steps",
                expected=f"at least {length}",
                do="Use longer ones, or a smaller --length.",
            )
        return torch.stack([self._window(number, length) for number in numbers]).to(self.dtype)

    def _window(self, number: int, length: int) -> Float[Tensor, "length features"]:
        drawn = generator(self.seed, number)
        sequence = int(torch.randint(len(self.series.values), (), generator=drawn))
        start = int(torch.randint(self.longest - length + 1, (), generator=drawn))
        return self.series.values[sequence, start : start + length]


def series_of(source: str, content: bytes, values: np.ndarray, *, whole: bool = True) -> Series:
    """Of one sequence or several; `content` is the file."""
    if values.ndim not in {2, 3} or not values.size or values.dtype.kind not in "fiu":
        raise no_series(source, f"an array of {values.dtype} with shape {values.shape}")
    if not np.isfinite(values).all():
        row = tuple(map(int, np.argwhere(~np.isfinite(values))[0]))
        raise no_series(source, f"{values[row]} at {list(row)}")
    digest = hashlib.sha256(content).hexdigest()
    tensor = torch.from_numpy(values.astype(np.float64))
    return Series(source, digest, tensor if values.ndim == 3 else tensor[None], whole)


def no_series(where: str, got: str) -> FileError:
    """The error about a file of something else."""
    return FileError(
        "no series of numbers",
        where=where,
        got=got,
        expected="finite real numbers: .npy of (sequences, time, features) or (time, features), "
        ".npz with `inputs` and `targets`, or a .csv with one row per step",
        do="Write it so, or leave --data out for noise.",
    )
