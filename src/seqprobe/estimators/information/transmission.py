"""Labels sent block by block to someone who has the states, by a decoder that learns on the way."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.estimators.information import temperature
from seqprobe.estimators.information.discriminant import Discriminant
from seqprobe.estimators.information.entropy import surprisal
from seqprobe.estimators.information.moments import Moments

RIDGES = (0.0, 0.1, 1.0)
FIRST, _SCORES = 16, 2**22


def blocks(sequences: int, steps: int) -> tuple[int, ...]:
    """Where blocks start: each one is as large as all before it, the first one just large enough.

    >>> blocks(50, 10)
    (0, 2, 4, 7, 13, 25, 50)
    """
    least = -(-FIRST // max(steps, 1))
    starts = [sequences]
    while starts[0] > least:
        starts.insert(0, -(-starts[0] // 2))
    return (0, *starts)


@dataclass(frozen=True)
class Transmission:
    """Rows in the order in which they are sent; `steps` of them make a sequence."""

    states: Float[Tensor, "rows width"]
    labels: Int[Tensor, "rows lags"]
    classes: int
    chances: Float[Tensor, " classes"] | None
    steps: int

    def lengths(self, starts: tuple[int, ...]) -> Float64[Tensor, "rows lags"]:
        """Bits for each symbol; blocks start at these sequences."""
        evenly = torch.full((self.classes,), 1 / self.classes)
        known = evenly if self.chances is None else self.chances
        each = [surprisal(self.labels[: starts[1] * self.steps], self.classes, known)]
        for block, coder in zip(pairwise(starts[1:]), self.coders(starts), strict=True):
            rows = self._rows(*block)
            told = coder.told(self.states[rows], self.labels[rows])
            each.append(-told.double() / math.log(2))
        return torch.cat(each)

    def coders(self, starts: tuple[int, ...]) -> Iterator["Coder"]:
        """What is learned from all that was sent before each block but the first.

        Moments of blocks add up: no row is counted twice.
        """
        before = None
        for start, end in pairwise(starts[:-1]):
            own = self._moments(self._rows(start, end))
            before = own if before is None else before + own
            yield self._coder(before, self._last(end))

    def _coder(self, before: Moments, last: slice) -> "Coder":
        """Ridge and temperature suit decoders of the rest of these rows best on the last ones."""
        rest = before - self._moments(last)
        some = slice(last.start, last.stop, -(-(last.stop - last.start) // temperature.ROWS))
        losses = []
        for ridge in RIDGES:
            decoder = self._decoder(rest, ridge)
            scores = decoder.scores(self.states[some])
            losses.append(temperature.mean_losses(scores, decoder.log_share, self.labels[some]))
        decoders = tuple(self._decoder(before, ridge) for ridge in RIDGES)
        return Coder.best(decoders, torch.stack(losses), len(self.labels[some]))

    def _last(self, sent: int) -> slice:
        """The last fifth of what is sent, whole sequences if there are several."""
        if sent == 1:
            return slice(self.steps * 4 // 5, self.steps)
        return self._rows(sent - max(1, sent // 5), sent)

    def _rows(self, first: int, end: int) -> slice:
        """Of these sequences."""
        return slice(first * self.steps, end * self.steps)

    def _moments(self, rows: slice) -> Moments:
        return Moments.of(self.states[rows], self.labels[rows], self.classes)

    def _decoder(self, moments: Moments, ridge: float) -> Discriminant:
        """With the chances of the classes, where they are known, and not with counted ones."""
        fitted = Discriminant.fit(moments, ridge)
        if self.chances is None:
            return fitted
        known = self.chances.to(fitted.bias).log().expand_as(fitted.bias)
        return replace(fitted, log_share=known)


@dataclass(frozen=True)
class Coder:
    """One decoder per ridge, the temperature of each, and which of them to use for a lag.

    `doubt` is the share of each symbol's code that comes from how often symbols occur alone. One
    that was right on n symbols may be wrong on the next with a chance of 1 / (n + 2) (rule of
    succession; A philosophical essay on probabilities, Laplace, 1814): it then costs log2(n + 2)
    bits more and not any number of them.
    """

    decoders: tuple[Discriminant, ...]
    factors: Float[Tensor, "ridges lags"]
    chosen: Int[Tensor, " lags"]
    doubt: float

    @classmethod
    def best(
        cls,
        decoders: tuple[Discriminant, ...],
        losses: Float[Tensor, "ridges temperatures lags"],
        rows: int,
    ) -> "Coder":
        """Of so many rows the least losses."""
        factors = torch.stack([temperature.best(each) for each in losses])
        return cls(decoders, factors, losses.amin(1).argmin(0), 1 / (rows + 2))

    def told(
        self, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"]
    ) -> Float[Tensor, "rows lags"]:
        """Log-likelihoods in nats, a few rows at a time."""
        some = max(1, _SCORES // self.decoders[0].bias.numel())
        parts = zip(states.split(some), labels.split(some), strict=True)
        return torch.cat([self._told(h, x) for h, x in parts])

    def _told(
        self, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"]
    ) -> Float[Tensor, "rows lags"]:
        each = [
            temperature.log_likelihood(decoder.scores(states), factor, decoder.log_share, labels)
            for decoder, factor in zip(self.decoders, self.factors, strict=True)
        ]
        best = torch.stack(each).gather(0, self.chosen.expand(1, *labels.shape))[0]
        lags = torch.arange(labels.shape[1], device=labels.device)
        plain = self.decoders[0].log_share[lags, labels]
        return torch.logaddexp(best + math.log1p(-self.doubt), plain + math.log(self.doubt))
