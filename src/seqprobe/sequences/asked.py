"""Sequences of copy and recall, as reference models were trained on them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.errors import UsageError
from seqprobe.sequences.generator import generator
from seqprobe.sequences.tasks import Copy, Distances, Recall

TASKS: dict[str, type[Copy | Recall]] = {"copy": Copy, "recall": Recall}
_NAME = re.compile(r"synthetic:(copy|recall)(?:-([1-9]\d{0,4}))?-([1-9]\d{0,4})")
_UNSEEN = 500_000
"""Numbers from which on no training draws its steps."""
_COUNTED = 256


@dataclass(frozen=True)
class AskedStream:
    """Inputs of a task, drawn anew: what is asked for at which step is known to the task alone."""

    task: Distances
    seed: int = 0
    guess: None = None
    sha256: str = ""
    tokenization: str = "tokens"
    split: str = ""
    texts: None = None

    @property
    def source(self) -> str:
        far = self.task.distance
        span = f"{self.task.shortest} to {far}" if self.task.shortest < far else f"{far}"
        return f"{type(self.task).__name__.lower()} over {span} steps"

    @property
    def longest(self) -> int:
        return self.task.context

    @cached_property
    def frequencies(self) -> Float[Tensor, " vocab"]:
        """Counted in some sequences."""
        tokens, _ = self.task.batch(_COUNTED, generator(0, _UNSEEN - 1))
        counts = torch.bincount(tokens.flatten(), minlength=self.task.vocab_size)
        return counts.double() / counts.sum()

    def take(self, numbers: Sequence[int], length: int) -> Int[Tensor, "batch length"]:
        if length > self.longest:
            raise UsageError(
                "the task is shorter than one sequence",
                where=self.source,
                got=f"{self.longest} steps",
                expected=f"at least {length}",
                do="Use a smaller --length.",
            )
        drawn = [self.task.batch(1, generator(self.seed, _UNSEEN + n))[0] for n in numbers]
        return torch.cat(drawn)[:, :length]


def task_in(name: str, vocab_size: int) -> Distances | None:
    """The task that `synthetic:recall-16-1024`, or `synthetic:copy-32`, is for a model.

    None where the name is of another kind. The last token of the vocabulary is the marker or blank.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    task, shortest, distance = found.groups()
    return TASKS[task](int(distance), symbols=vocab_size - 1, shortest=int(shortest or 0))
