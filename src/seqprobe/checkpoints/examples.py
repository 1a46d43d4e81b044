"""Held-out data on which candidates for a model are compared: a loss for every sequence."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.estimators.bigram import bigram_nats
from seqprobe.models.calling import undisturbed
from seqprobe.sequences.streams import CorpusStream

BATCH = 8
BIT = math.log(2)
SCALES = (1.0, 0.5, 0.7, 1.4, 2.0, 4.0, 8.0)

Losses = Float[Tensor, "examples scales"]


@runtime_checkable
class Examples(Protocol):
    """Numbered examples; the loss of one does not depend on which others are looked at."""

    @property
    def unit(self) -> str:
        """Of the losses."""
        ...

    @property
    def most(self) -> int:
        """How many examples there are."""
        ...

    def losses(self, module: nn.Module, first: int, last: int) -> Losses:
        """Of the examples from `first` up to `last`, on the CPU in float64: of the module's
        outputs as they are, and multiplied by the other `SCALES`.
        """
        ...

    def floor(self, count: int) -> float:
        """Mean loss of the first `count` without looking at the inputs."""
        ...

    def pairs(self, count: int) -> float | None:
        """The same for those who look at the last token only; None where nobody can."""
        ...


@dataclass(frozen=True)
class NextTokens:
    """Mean bits per token of predicting every next token of sequences of a stream."""

    stream: CorpusStream
    length: int
    device: torch.device
    unit: str = "bits per token"
    most: int = 512

    def losses(self, module: nn.Module, first: int, last: int) -> Losses:
        parts = [
            self._losses(module, self._tokens(start, min(start + BATCH, last)))
            for start in range(first, last, BATCH)
        ]
        return torch.cat(parts)

    def _tokens(self, first: int, last: int) -> Int[Tensor, "batch time"]:
        return self.stream.take(range(first, last), self.length).to(self.device)

    def _losses(self, module: nn.Module, tokens: Int[Tensor, "batch time"]) -> Losses:
        with undisturbed(module), torch.no_grad():
            scores, wanted = module(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:]
            nats = [F.cross_entropy(s * scores, wanted, reduction="none") for s in SCALES]
        return torch.stack([each.double().mean(1).cpu() for each in nats], dim=1) / BIT

    def pairs(self, count: int) -> float | None:
        """By counting pairs of tokens elsewhere in the text; None if there is no elsewhere."""
        others = self.stream.others
        if not len(others):
            return None
        nats = bigram_nats(others, self._tokens(0, count).cpu(), self.stream.vocab_size)
        return float(nats.mean()) / BIT

    def floor(self, count: int) -> float:
        """By the frequencies of tokens."""
        return float(-self.stream.guess.log2()[self._tokens(0, count)[:, 1:].cpu()].mean())


@dataclass(frozen=True)
class Labels:
    """What a model answers at the last step of a text: bits of the right class (integers), or
    squared error (real numbers).
    """

    texts: tuple[Int[Tensor, " _"], ...]
    targets: Shaped[Tensor, " texts"]
    device: torch.device

    @property
    def unit(self) -> str:
        return "squared error" if self.targets.is_floating_point() else "bits per text"

    @property
    def most(self) -> int:
        return len(self.texts)

    def losses(self, module: nn.Module, first: int, last: int) -> Losses:
        with undisturbed(module), torch.no_grad():
            answers = [module(t[None].to(self.device))[0, -1] for t in self.texts[first:last]]
        return _losses(torch.stack(answers), self.targets[first:last])

    def floor(self, count: int) -> float:
        """By the frequencies of classes, or the mean."""
        return _guess(self.targets, count)

    def pairs(self, count: int) -> None:
        """There is nothing of the kind."""


@dataclass(frozen=True)
class Targets:
    """What a model answers to real-valued series, at every step or at the last one: bits of the
    right class (integers), or squared error (real numbers).
    """

    inputs: Float[Tensor, "series time features"]
    targets: Shaped[Tensor, "series ..."]
    device: torch.device

    @property
    def unit(self) -> str:
        return "squared error" if self.targets.is_floating_point() else "bits per answer"

    @property
    def most(self) -> int:
        return len(self.inputs)

    def losses(self, module: nn.Module, first: int, last: int) -> Losses:
        dtype = next(module.parameters()).dtype
        with undisturbed(module), torch.no_grad():
            answers = module(self.inputs[first:last].to(self.device, dtype))
        wanted = self.targets[first:last]
        if not self._per_step(answers):
            answers = answers[:, -1]
        return _losses(answers, wanted)

    def _per_step(self, answers: Float[Tensor, "batch time outputs"]) -> bool:
        steps = self.targets.ndim > 1 and self.targets.shape[1] == answers.shape[1]
        return steps and (self.targets.ndim == 3 or not self._are_outputs(answers))

    def _are_outputs(self, answers: Float[Tensor, "batch time outputs"]) -> bool:
        return self.targets.is_floating_point() and self.targets.shape[1] == answers.shape[2]

    def floor(self, count: int) -> float:
        """By the frequencies of classes, or the mean."""
        return _guess(self.targets, count)

    def pairs(self, count: int) -> None:
        """There is nothing of the kind."""


def _losses(
    answers: Float[Tensor, "examples ..."], wanted: Shaped[Tensor, "examples ..."]
) -> Losses:
    return torch.stack([_loss(scale * answers, wanted) for scale in SCALES], dim=1)


def _loss(
    answers: Float[Tensor, "examples ..."], wanted: Shaped[Tensor, "examples ..."]
) -> Float[Tensor, " examples"]:
    """Of each example, on the CPU in float64."""
    answers = answers.double().cpu()
    if wanted.is_floating_point():
        error: Tensor = (answers - wanted.double().reshape_as(answers)).square()
        return error.flatten(1).mean(1)
    nats = F.cross_entropy(answers.movedim(-1, 1), wanted.long(), reduction="none")
    return nats.reshape(len(answers), -1).mean(1) / BIT


def _guess(targets: Shaped[Tensor, "examples ..."], count: int) -> float:
    """Mean loss of the best answer that is the same for all."""
    if targets.is_floating_point():
        return float((targets[:count].double() - targets.double().mean(0)).square().mean())
    shares = torch.bincount(targets.flatten()).double() / targets.numel()
    return float(-shares[targets[:count]].log2().mean())
