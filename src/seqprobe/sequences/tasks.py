"""What the trainable reference models learn: the next byte of a text, copy, or recall."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.errors import UsageError
from seqprobe.sequences.corpus import Corpus, read_corpus
from seqprobe.sequences.generator import generator

IGNORED = -100
Batch = tuple[Int[Tensor, "batch time"], Int[Tensor, "batch time"]]


class Task(ABC):
    """Batches of (inputs, targets); targets of `IGNORED` carry no loss."""

    vocab_size: int
    context: int

    @abstractmethod
    def batch(self, size: int, generator: torch.Generator) -> Batch:
        """Draw training sequences; equal generators give equal batches."""

    def held_out(self, size: int) -> Batch:
        """Sequences that training never draws."""
        return self.batch(size, generator(0, -1))


@dataclass(frozen=True)
class NextByte(Task):
    """Predict the next byte of a text."""

    corpus: Corpus
    context: int
    vocab_size: int = 256

    def __post_init__(self) -> None:
        train, held_out = len(self.corpus.train), len(self.corpus.held_out)
        if min(train, held_out) <= self.context:
            raise UsageError(
                "the text is shorter than one training sequence",
                where=self.corpus.source,
                got=f"{train:,} bytes to train on and {held_out:,} held out",
                expected=f"at least {self.context + 1:,} each",
                do="Use a longer text, or a smaller context: --set context=...",
            )

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        starts = torch.randint(len(self.corpus.train) - self.context, (size,), generator=generator)
        return _windows(self.corpus.train, starts, self.context)

    def held_out(self, size: int) -> Batch:
        last = len(self.corpus.held_out) - self.context - 1
        starts: Tensor = torch.linspace(0, last, size).long().unique()
        return _windows(self.corpus.held_out, starts, self.context)


def _windows(text: Tensor, starts: Int[Tensor, " batch"], length: int) -> Batch:
    windows = text[starts[:, None] + torch.arange(length + 1)].long()
    return windows[:, :-1], windows[:, 1:]


@dataclass(frozen=True)
class Copy(Task):
    """See `distance` symbols, a marker, then say the symbols again in order."""

    distance: int
    symbols: int = 8
    vocab_size: int = field(init=False)
    context: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocab_size", self.symbols + 1)
        object.__setattr__(self, "context", 2 * self.distance)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        drawn = torch.randint(self.symbols, (size, self.distance), generator=generator)
        marker = torch.full((size, 1), self.symbols)
        sequence = torch.cat([drawn, marker, drawn], dim=1)
        targets = sequence[:, 1:].clone()
        targets[:, : self.distance] = IGNORED
        return sequence[:, :-1], targets


@dataclass(frozen=True)
class Recall(Task):
    """See one symbol, then `distance` blanks, then name the symbol."""

    distance: int
    symbols: int = 4
    vocab_size: int = field(init=False)
    context: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocab_size", self.symbols + 1)
        object.__setattr__(self, "context", self.distance + 1)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        inputs = torch.full((size, self.context), self.symbols)
        inputs[:, 0] = torch.randint(self.symbols, (size,), generator=generator)
        targets = torch.full_like(inputs, IGNORED)
        targets[:, -1] = inputs[:, 0]
        return inputs, targets


@dataclass(frozen=True)
class Induction(Task):
    """Random symbols that repeat after a period drawn for each sequence, up to `longest`.

    What follows the first copy can be told from what came after the same symbol before; nothing
    else is asked for. Held out are sequences with the longest period.
    """

    longest: int = 32
    symbols: int = 64
    vocab_size: int = field(init=False)
    context: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocab_size", self.symbols)
        object.__setattr__(self, "context", 2 * self.longest)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        shortest = self.longest // 2
        periods = torch.randint(shortest, self.longest + 1, (size, 1), generator=generator)
        return self._repeated(periods, generator)

    def held_out(self, size: int) -> Batch:
        return self._repeated(torch.full((size, 1), self.longest), generator(0, -1))

    def _repeated(self, periods: Int[Tensor, "batch 1"], generator: torch.Generator) -> Batch:
        drawn = torch.randint(self.symbols, (len(periods), self.longest), generator=generator)
        steps = torch.arange(self.context + 1)
        sequence = drawn.gather(1, steps % periods)
        targets = sequence[:, 1:].masked_fill(steps[:-1] < periods, IGNORED)
        return sequence[:, :-1], targets


def task_named(name: str, *, context: int, distance: int) -> Task:
    """`copy`, `recall`, or the next byte of the corpus called `name`."""
    if name == "copy":
        return Copy(distance)
    if name == "recall":
        return Recall(distance)
    return NextByte(read_corpus(name), context)
