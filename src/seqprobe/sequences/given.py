"""Sequences that are given as they are: a batch held in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.errors import UsageError


@dataclass(frozen=True)
class GivenStream:
    """The rows of one batch, by number: tokens (batch, time), or (batch, time, features).

    `vocab_size` is None for real-valued features.
    """

    batch: Tensor
    vocab_size: int | None = None
    name: str = "a given batch"
    split: str = ""
    texts: None = None

    def __post_init__(self) -> None:
        axes, kind = (2, "tokens") if self.vocab_size else (3, "real-valued features")
        if self.batch.ndim != axes or self.batch.is_floating_point() != (axes == 3):
            raise UsageError(
                f"not a batch of {kind}",
                where=self.name,
                got=f"{self.batch.dtype} of shape {tuple(self.batch.shape)}".removeprefix("torch."),
                expected="integers (batch, time)" if axes == 2 else "(batch, time, features)",
                do="Give inputs as the model takes them, batch first.",
            )
        if self.vocab_size and not 0 <= int(self.batch.min()) <= self._highest < self.vocab_size:
            raise UsageError(
                "tokens that the model does not have",
                where=self.name,
                got=f"{int(self.batch.min())} to {self._highest}",
                expected=f"0 to {self.vocab_size - 1}",
            )

    @property
    def _highest(self) -> int:
        return int(self.batch.max())

    @property
    def source(self) -> str:
        """What it is, in a few words."""
        sequences, time = self.batch.shape[:2]
        return f"{self.name}: {sequences} sequences of {time} steps"

    @property
    def sha256(self) -> str:
        """Of the numbers, in the precision in which they were given."""
        numbers = self.batch.contiguous().view(torch.uint8).cpu().numpy()
        return hashlib.sha256(numbers.tobytes()).hexdigest()

    @property
    def tokenization(self) -> str:
        return "tokens" if self.vocab_size else "none"

    @property
    def frequencies(self) -> Float[Tensor, " vocab"] | None:
        if self.vocab_size is None:
            return None
        counts = torch.bincount(self.batch.flatten().cpu(), minlength=self.vocab_size)
        return counts.double() / counts.sum()

    @property
    def guess(self) -> Float[Tensor, " vocab"] | None:
        return self.frequencies

    @property
    def longest(self) -> int:
        return self.batch.shape[1]

    def take(self, numbers: Sequence[int], length: int) -> Tensor:
        """The first steps of some rows."""
        return self.batch[list(numbers), :length]
