"""Bits about a past token that the state adds to what the tokens read after it tell anyhow.

In natural text the tokens depend on each other: a state that knows nothing but the present token
says something about the one before. H(x_k | nearer tokens) - H(x_k | state, nearer tokens) is what
only a memory can add.
"""

import math
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from seqprobe.estimators.information import temperature
from seqprobe.estimators.information.cross_fit import cross_fitted
from seqprobe.estimators.information.decoded import DecodedBits
from seqprobe.estimators.information.decoder import null_lags, standardised
from seqprobe.estimators.information.discriminant import Discriminant
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.moments import Moments, class_sums
from seqprobe.estimators.information.refusals import refusals

ADJACENT, RECENT, NULLS = 2, 4, 5


def conditional_bits(
    states: Float[Tensor, "sequences steps width"],
    tokens: Int[Tensor, "sequences steps lags"],
    classes: int,
    lags: list[int],
    *,
    seed: int = 0,
) -> DecodedBits:
    """Cross-fitted conditional information about the tokens at some lags, in bits.

    `tokens` are those 0, 1, 2, .. steps back. The tokens read after x_k count in two ways: the two
    next to it by how often it precedes them, and linear traces of these and of the last four
    tokens are taken out of the state before it is read. So it is an estimate, and no bound: what
    more distant tokens tell in other ways is taken for memory.
    """
    sequences, steps, width = states.shape
    chosen = tokens[..., lags]
    unusable = refusals(states, chosen, classes)
    nothing = np.full((sequences, len(lags)), np.nan)
    held_out, null, entropy = nothing, nothing, nothing[0]
    if not all(unusable):
        folds = Folds.of(sequences, steps, seed, states.device)
        rows, flat = standardised(states), tokens.flatten(0, 1)
        before = _Backward.of(flat, classes, folds)
        elsewhere = rows.view(states.shape).roll(1, dims=0).flatten(0, 1)
        held_out = _per_sequence(_gains(rows, flat, lags, before, folds, seed), sequences)
        some, nearest = null_lags(len(lags), NULLS)
        asked = [lags[index] for index in some]
        nothing_there = _gains(elsewhere, flat, asked, before, folds, seed)
        null = _per_sequence(nothing_there, sequences)[:, nearest]
        entropy = np.array([-before.log_chance(flat, lag).mean().item() for lag in lags])
    return DecodedBits(
        held_out,
        null,
        np.full(len(lags), np.nan),
        np.full(len(lags), np.nan),
        entropy / math.log(2),
        counted=True,
        rows=sequences * steps * 4 // 5,
        parameters=(classes - 1) * (width + 1),
        seed=seed,
        unusable=unusable,
    )


def _per_sequence(
    nats: Float[Tensor, "rows lags"], sequences: int
) -> Float[np.ndarray, "sequences lags"]:
    each: np.ndarray = nats.double().unflatten(0, (sequences, -1)).mean(1).cpu().numpy()
    return each / math.log(2)


@dataclass(frozen=True)
class _Backward:
    """How often a token precedes two others, counted on the folds that are not scored.

    Shorter contexts are mixed in as in The zero-frequency problem (Witten and Bell, 1991).
    """

    folds: Folds
    tables: tuple[tuple[Float[Tensor, "_ classes"], ...], ...]
    classes: int

    @classmethod
    def of(cls, tokens: Int[Tensor, "rows lags"], classes: int, folds: Folds) -> "_Backward":
        tables = [_tables(tokens[folds.others(i)], classes) for i in range(len(folds))]
        return cls(folds, tuple(tables), classes)

    def log_chances(
        self, fold: int, tokens: Int[Tensor, "rows lags"], lag: int
    ) -> Float[Tensor, "rows classes"]:
        """Of every class at this lag, given the tokens next to it."""
        after = tokens[:, max(0, lag - ADJACENT) : lag]
        context = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        for column in after.T:
            context = context * self.classes + column
        return self.tables[fold][after.shape[1]][context]

    def log_chance(self, tokens: Int[Tensor, "rows lags"], lag: int) -> Float[Tensor, " rows"]:
        """Of the token that is there."""
        told = torch.empty(len(tokens), dtype=torch.float32, device=tokens.device)
        for index, part in enumerate(self.folds.parts):
            each = self.log_chances(index, tokens[part], lag)
            told[part] = each.gather(1, tokens[part, lag : lag + 1])[:, 0]
        return told


def _tables(
    tokens: Int[Tensor, "rows lags"], classes: int
) -> tuple[Float[Tensor, "_ classes"], ...]:
    """Log-chances given none, one or two tokens; the farther one of two counts least."""
    chances = torch.full((1, classes), 1 / classes, dtype=torch.float32, device=tokens.device)
    found = []
    for length in range(ADJACENT + 1):
        codes = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        for column in tokens[:, : length + 1].T:
            codes = codes * classes + column
        counts = codes.bincount(minlength=classes ** (length + 1)).view(-1, classes).float()
        different = (counts > 0).sum(1, keepdim=True)
        lower = chances.repeat(len(counts) // len(chances), 1)
        seen = counts.sum(1, keepdim=True) + different
        chances = torch.where(seen > 0, (counts + different * lower) / seen.clamp(min=1), lower)
        found.append(chances.log())
    return tuple(found)


def _gains(
    states: Float[Tensor, "rows width"],
    tokens: Int[Tensor, "rows lags"],
    lags: list[int],
    before: _Backward,
    folds: Folds,
    seed: int,
) -> Float[Tensor, "rows chosen"]:
    """What the state adds to the log-chance of the token at each of some lags, in nats."""
    grams = [states[part].T @ states[part] for part in folds.parts]
    gains = [_gain(states, grams, tokens, lag, before, folds, seed) for lag in lags]
    return torch.stack(gains, dim=1)


def _gain(
    states: Float[Tensor, "rows width"],
    grams: list[Float[Tensor, "width width"]],
    tokens: Int[Tensor, "rows lags"],
    lag: int,
    before: _Backward,
    folds: Folds,
    seed: int,
) -> Float[Tensor, " rows"]:
    classes, label = before.classes, tokens[:, lag : lag + 1]
    after = sorted({*range(min(RECENT, lag)), *range(max(0, lag - ADJACENT), lag)})
    known = F.one_hot(tokens[:, after], classes)[..., :-1].flatten(1).to(states)
    features = torch.cat([known, states], dim=1)
    each = [
        _moments(features[part], gram, label[part], classes)
        for part, gram in zip(folds.parts, grams, strict=True)
    ]
    total = reduce(add, each)
    readers = [Discriminant.fit(total - own, known=known.shape[1]) for own in each]

    def scored(index: int, rows: Int[Tensor, " some"]) -> tuple[Tensor, Tensor, Tensor]:
        offset = before.log_chances(index, tokens[rows], lag)[:, None].to(states)
        return readers[index].scores(features[rows]), offset, label[rows]

    def losses(index: int, rows: Int[Tensor, " some"]) -> Tensor:
        return temperature.mean_losses(*scored(index, rows))

    def told(index: int, rows: Int[Tensor, " some"], factor: Float[Tensor, " 1"]) -> Tensor:
        scores, offset, right = scored(index, rows)
        without = offset.gather(2, right[..., None])[..., 0]
        with_state = temperature.log_likelihood(scores, factor, offset, right)
        return temperature.cautious(with_state - without, 1.0)

    return cross_fitted(losses, told, folds, seed).held_out[:, 0]


def _moments(
    features: Float[Tensor, "rows features"],
    gram: Float[Tensor, "width width"],
    labels: Int[Tensor, "rows one"],
    classes: int,
) -> Moments:
    """Of known features followed by the states, whose Gram matrix is the same for all lags."""
    known = features.shape[1] - len(gram)
    rows = features[:, :known].T @ features
    below = torch.cat([rows[:, known:].T, gram], dim=1)
    totals, counts = class_sums(features, labels, classes)
    whole = torch.cat([rows, below]).double()
    return Moments(len(features), features.double().sum(0), whole, totals, counts)
