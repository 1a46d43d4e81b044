"""What the trainable reference models learn: the next byte of a text, copy, or recall."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from itertools import count, takewhile

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from seqprobe.errors import UsageError
from seqprobe.sequences.corpus import Corpus, read_corpus, share_of
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
class Distances(Task):
    """Symbols that are asked for again, `distance` steps later, or up to as many.

    With `shortest`, distances are drawn from `shortest` to `distance`: as many from 16 to 31 as
    from 512 to 1023, and as the longest one alone, which would be hardly ever seen otherwise. The
    vocabulary is the symbols and one mark that is none of them.
    """

    distance: int
    symbols: int = 8
    shortest: int = 0
    vocab_size: int = field(init=False)
    context: int = field(init=False)

    def __post_init__(self) -> None:
        if not self.shortest:
            object.__setattr__(self, "shortest", self.distance)
        if self.shortest > self.distance:
            raise UsageError(
                "the shortest distance is longer than the longest one",
                got=f"shortest={self.shortest} and distance={self.distance}",
                expected="shortest at most distance",
                do="Set both: --set shortest=16 --set distance=1024.",
            )
        object.__setattr__(self, "vocab_size", self.symbols + 1)
        object.__setattr__(self, "context", self._room())

    @abstractmethod
    def _room(self) -> int:
        """Steps that the longest distance takes."""

    def by_distance(self) -> "dict[int, Distances]":
        """Tasks of one distance each: the shortest, twice that, .., the longest."""
        doubled = takewhile(self.distance.__gt__, (self.shortest * 2**n for n in count()))
        return {k: replace(self, distance=k, shortest=k) for k in (*doubled, self.distance)}

    def _distances(
        self, shape: tuple[int, int], generator: torch.Generator
    ) -> Int[Tensor, "batch drawn"]:
        """P(k) = log(1 + 1/k) / log(2 distance / shortest), and the rest for the longest one."""
        low, high = math.log(self.shortest), math.log(2 * self.distance)
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
        return drawn.exp().long().clamp(self.shortest, self.distance)


@dataclass(frozen=True)
class Copy(Distances):
    """See as many symbols as the distance, a marker, then say the symbols again in order.

    What follows is the marker and the symbols once more, and so on to the end of the context, which
    is twice the longest distance: the target is the input `distance` steps ago.
    """

    def _room(self) -> int:
        return 2 * self.distance

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        drawn = torch.randint(self.symbols, (size, self.distance), generator=generator)
        distances = self._distances((size, 1), generator)
        marked = F.pad(drawn, (0, 1)).scatter(1, distances, self.symbols)
        steps = torch.arange(self.context + 1)
        sequence = marked.gather(1, steps % (distances + 1))
        inputs, targets = sequence[:, :-1], sequence[:, 1:]
        asked = (steps[:-1] >= distances) & (targets < self.symbols)
        return inputs, targets.where(asked, IGNORED)


@dataclass(frozen=True)
class Recall(Distances):
    """See one symbol, then as many blanks as the distance, then name the symbol.

    In a context of the longest distance there is room for several symbols, each with blanks of its
    own number after it. Every blank from the shortest distance on asks for the symbol before it.
    """

    symbols: int = 4

    def _room(self) -> int:
        return self.distance + 1

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        most = math.ceil(self.context / (self.shortest + 1))
        drawn = torch.randint(self.symbols, (size, most), generator=generator)
        lengths = self._distances((size, most), generator) + 1
        steps = torch.arange(self.context).expand(size, -1).contiguous()
        latest = torch.searchsorted(lengths.cumsum(1), steps, right=True)
        since = steps - (lengths.cumsum(1) - lengths).gather(1, latest)
        symbol = drawn.gather(1, latest)
        return symbol.where(since == 0, self.symbols), symbol.where(since >= self.shortest, IGNORED)


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


def task_named(
    name: str, *, context: int, distance: int, shortest: int = 0, share: float = 1.0
) -> Task:
    """`copy`, `recall`, or the next byte of a share of the corpus called `name`."""
    if name == "copy":
        return Copy(distance, shortest=shortest)
    if name == "recall":
        return Recall(distance, shortest=shortest)
    return NextByte(share_of(read_corpus(name), share), context)
