"""Bits about tokens of a large vocabulary, read through the model's own input embedding.

A decoder with a row of numbers per token needs many samples of each token. One that knows how
tokens are embedded fits width x embedding numbers, and reads tokens that it has never seen.
"""

import math
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqprobe.estimators.information import temperature
from seqprobe.estimators.information.decoded import DecodedBits
from seqprobe.estimators.information.decoder import standardised
from seqprobe.estimators.information.entropy import entropies, surprisal
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.moments import Moments
from seqprobe.estimators.information.refusals import of_states, of_tokens
from seqprobe.estimators.information.tied import Pairs, Tied, Whitener
from seqprobe.estimators.information.vocabulary import discounted, principal

AXES, FEWEST = 256, 64
SCORES, _CHUNK = 2**27, 2**22


def embedded_bits(
    states: Float[Tensor, "sequences steps width"],
    tokens: Int[Tensor, "sequences steps lags"],
    embedding: Float[Tensor, "vocab embedding"],
    *,
    chances: Float[Tensor, " vocab"] | None = None,
    seed: int = 0,
) -> DecodedBits:
    """Cross-fitted information between the states and the tokens at each lag, in bits.

    What is scored is a distribution over the whole vocabulary; tokens that the other folds do not
    hold share some of the mass. Two approximations keep it affordable, and the bound a bound:

    - An embedding of more than 256 numbers is taken along its first 256 principal axes. Tokens that
      differ in the others alone cannot be told apart.
    - Where rows x vocabulary exceeds 2^27, a few steps of every sequence are scored, drawn at
      random. The decoder is fitted to all; the interval over sequences becomes wider.

    Args:
        states: real numbers; whole sequences are held out, whatever their steps have in common.
        tokens: numbers below `vocab`, for each state one per lag.
        embedding: one row per token, as the model reads it.
        chances: of each token, where they were drawn so; None to count them. Counting cannot show
            more than log2(rows) bits: see the verdict `vocabulary undersampled`.
        seed: of the folds, the scored steps and the principal axes.
    """
    sequences, steps, lags = tokens.shape
    vocab = len(embedding)
    unusable = _refusals(states, tokens, embedding, chances)
    known = tokens.clamp(0, vocab - 1).flatten(0, 1)
    held_out, null = np.full((2, sequences, lags), np.nan)
    seen = np.full(lags, np.nan)
    axes = min(AXES, embedding.shape[1])
    usable = [lag for lag, why in enumerate(unusable) if not why]
    if usable:
        reader = _Reader.of(standardised(states), embedding, steps, chances, seed)
        for lag in usable:
            held_out[:, lag], seen[lag] = reader.bits(known[:, lag])
            null[:, lag], _ = reader.bits(known[:, lag].roll(steps))
    return DecodedBits(
        held_out,
        null,
        seen,
        np.full(lags, np.nan),
        entropies(known, vocab, chances),
        counted=chances is None,
        rows=sequences * steps * 4 // 5,
        parameters=states.shape[2] * axes,
        seed=seed,
        unusable=unusable,
    )


@dataclass(frozen=True)
class _Reader:
    """All that lags have in common; `scored` says which rows are scored."""

    states: Float[Tensor, "rows width"]
    embedding: Float[Tensor, "vocab axes"]
    chances: Float[Tensor, " vocab"] | None
    folds: Folds
    whiteners: tuple[Whitener, ...]
    scored: Bool[Tensor, "sequences steps"]
    seed: int

    @classmethod
    def of(
        cls,
        states: Float[Tensor, "rows width"],
        embedding: Float[Tensor, "vocab embedding"],
        steps: int,
        chances: Float[Tensor, " vocab"] | None,
        seed: int,
    ) -> "_Reader":
        sequences = len(states) // steps
        folds = Folds.of(sequences, steps, seed, states.device)
        unlabelled = torch.zeros(len(states), 1, dtype=torch.long, device=states.device)
        each = [Moments.of(states[part], unlabelled[part], 1) for part in folds.parts]
        total = reduce(add, each)
        whiteners = tuple(Whitener.of(total - own) for own in each)
        space = principal(embedding.to(states), AXES, seed)
        scored = drawn_steps(sequences, steps, SCORES // len(embedding), seed)
        return cls(states, space, chances, folds, whiteners, scored.to(states.device), seed)

    def bits(self, tokens: Int[Tensor, " rows"]) -> tuple[np.ndarray, float]:
        """The bound for each sequence, and its value on what one of the decoders was fitted to."""
        decoders = self._fitted(tokens)
        losses = torch.stack([self._losses(i, d, tokens) for i, d in enumerate(decoders)])
        plain = surprisal(tokens[:, None], len(self.embedding), self.chances)[:, 0]
        bits = torch.zeros_like(plain)
        for index, decoder in enumerate(decoders):
            rows = self._rows(index)
            factor = temperature.best(losses.sum(0) - losses[index])
            bits[rows] = plain[rows] + self._told(decoder, factor, tokens, rows) / math.log(2)
        known = self._rows(1)
        factor = temperature.best(losses.sum(0))
        seen = plain[known] + self._told(decoders[0], factor, tokens, known) / math.log(2)
        mean = bits.view(self.scored.shape).sum(1) / self.scored.sum(1)
        return mean.cpu().numpy(), float(seen.mean())

    def _fitted(self, tokens: Int[Tensor, " rows"]) -> list[Tied]:
        """Decoders of four folds each."""
        each = [Pairs.of(self.states[p], tokens[p], self.embedding) for p in self.folds.parts]
        total = reduce(add, each)
        train = [total - own for own in each]
        known = self.chances
        return [
            Tied.fit(
                whitener,
                pairs,
                self.embedding,
                discounted(pairs.tokens) if known is None else known.to(pairs.total),
            )
            for whitener, pairs in zip(self.whiteners, train, strict=True)
        ]

    def _rows(self, index: int) -> Int[Tensor, " some"]:
        """The rows of one fold that are scored."""
        part = self.folds.parts[index]
        chosen: Tensor = part[self.scored.flatten()[part]]
        return chosen

    def _losses(
        self, index: int, decoder: Tied, tokens: Int[Tensor, " rows"]
    ) -> Float[Tensor, "temperatures 1"]:
        """On a few rows of the fold that the decoder was not fitted to."""
        most = min(temperature.ROWS, max(FEWEST, _CHUNK // 4 // len(self.embedding)))
        rows = self.folds.some(index, most, self.seed)
        scores = decoder.scores(self.states[rows])[:, None]
        return temperature.mean_losses(scores, decoder.log_share[None], tokens[rows, None])

    def _told(
        self,
        decoder: Tied,
        factor: Float[Tensor, " 1"],
        tokens: Int[Tensor, " rows"],
        rows: Int[Tensor, " some"],
    ) -> Float[Tensor, " some"]:
        """Log-likelihoods in nats, a few rows at a time: never all rows by all tokens."""
        told = [
            temperature.log_likelihood(
                decoder.scores(self.states[some])[:, None],
                factor,
                decoder.log_share[None],
                tokens[some, None],
            )[:, 0]
            for some in rows.split(max(1, _CHUNK // len(self.embedding)))
        ]
        whole = torch.cat(told)
        if self.chances is not None:
            return whole
        return temperature.cautious(whole[:, None], 1 / len(self.embedding))[:, 0]


def drawn_steps(
    sequences: int, steps: int, most: int, seed: int
) -> Bool[Tensor, "sequences steps"]:
    """About `most` steps in all, as many of each sequence, at least one of each."""
    each = min(steps, max(1, most // sequences))
    order = torch.rand(sequences, steps, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return order < each


def _refusals(
    states: Float[Tensor, "sequences steps width"],
    tokens: Int[Tensor, "sequences steps lags"],
    embedding: Float[Tensor, "vocab embedding"],
    chances: Float[Tensor, " vocab"] | None,
) -> tuple[str, ...]:
    whole = of_states(states)
    return tuple(
        whole or of_tokens(lag, embedding, chances) for lag in tokens.flatten(0, 1).T.unbind()
    )
