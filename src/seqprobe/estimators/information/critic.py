"""Information between pairs of vectors: a bound that a held-out critic shows, and an estimate.

A critic f(x, y) is large for pairs and small for unrelated ones. The bound of Estimating
divergence functionals and the likelihood ratio (Nguyen, Wainwright and Jordan, 2010),

    I(x; y) >= E_pairs[f] + 1 - E_unrelated[exp f],

holds for any f that did not see the pairs; the best f is the log density ratio. It is clipped from
above in both terms: clipping the second one alone (Understanding the limitations of variational
mutual information estimators, Song and Ermon, 2020) has less variance too, but is no bound.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from seqprobe.contracts import Estimate
from seqprobe.estimators.information.canonical import Canonical
from seqprobe.estimators.information.density_ratio import Draw, Side, density_ratio
from seqprobe.estimators.information.features import Features
from seqprobe.estimators.information.local import averaged
from seqprobe.estimators.information.nearest import ksg_local
from seqprobe.estimators.information.pairs import Pairs

FOLDS = 3
WATCHED = 8  # one of so many sequences chooses when to stop, and the clipping
UNRELATED, UNRELATED_WATCHED = 10, 4  # unrelated pairs for each pair
SCALES = (0.0, 0.5, 0.7, 0.85, 1.0)
LEVELS = (1.0, 2.0, 3.0, 4.0, 6.0, 30.0)
NEIGHBOURS = 5
KSG_DIMENSIONS = 6


@dataclass(frozen=True)
class PairBits:
    """At least `bound`; about `estimate`, which is no bound."""

    bound: Estimate
    estimate: Estimate


def pair_bits(
    x: Float[Tensor, "samples x"],
    y: Float[Tensor, "samples_y y"],
    *,
    sequences: Int[Tensor, " labels"] | None = None,
    seed: int = 0,
) -> PairBits:
    """Information between x and y in bits, cross-fitted over whole sequences.

    The estimate is the largest of the bound, of its mean with its value on what was fitted (to
    first order the optimism of the one cancels the pessimism of the other) and, in few
    dimensions, of nearest neighbours on normal scores. No sample of so many pairs can show more
    than the logarithm of their number (Formal Limitations on the Measurement of Mutual
    Information, McAllester and Stratos, 2020): that is the ceiling.

    Not estimable where `Pairs` refuses; shapes that do not match raise ValueError.
    """
    pairs = Pairs.of(x, y, sequences)
    if pairs.refusal:
        return PairBits(*[Estimate.missing("bits", pairs.refusal)] * 2)
    terms, nowhere = (_kinds(each, seed) for each in (pairs, pairs.elsewhere()))
    estimate = averaged(pairs, terms, nowhere, ceiling=math.log2(pairs.samples), seed=seed)
    bound = averaged(
        pairs, terms[:, :1], nowhere[:, :1], ceiling=estimate.ceiling, lower_bound=True, seed=seed
    )
    return PairBits(bound, estimate)


@dataclass(frozen=True)
class Clip:
    """A critic from a log ratio: scaled, clipped from above, and moved to be the best bound."""

    scale: float
    level: float
    offset: float = 0.0

    @classmethod
    def chosen(
        cls, together: Float64[Tensor, " rows"], apart: Float64[Tensor, "times rows"]
    ) -> "Clip":
        """The one with the largest bound, less a standard error; scale zero claims nothing."""

        def bound(clip: Clip) -> float:
            spread = clip(apart).exp().std() / math.sqrt(len(together))
            return float(clip.terms(together, apart).mean() - spread)

        clips = [cls(scale, level) for scale in SCALES for level in LEVELS]
        moved = [replace(clip, offset=float(clip(apart).exp().mean().log())) for clip in clips]
        return max(moved, key=bound)

    def __call__(self, ratio: Float64[Tensor, "*rows"]) -> Float64[Tensor, "*rows"]:
        return (self.scale * ratio).clamp(max=self.level) - self.offset

    def terms(
        self, together: Float64[Tensor, " rows"], apart: Float64[Tensor, "times rows"]
    ) -> Float64[Tensor, " rows"]:
        """What each pair adds to the bound, in nats."""
        return self(together) + 1 - self(apart).exp().mean(0)


def _kinds(pairs: Pairs, seed: int) -> Float64[Tensor, "samples kinds"]:
    """Held-out terms of the bound first, then what else an estimate may be."""
    held_out, seen = _cross_fitted(pairs, seed)
    kinds = [held_out, (held_out + seen) / 2]
    if pairs.x.shape[1] + pairs.y.shape[1] <= KSG_DIMENSIONS:
        kinds.append(ksg_local(pairs, NEIGHBOURS, normal=True))
    return torch.stack(kinds, 1)


def _cross_fitted(
    pairs: Pairs, seed: int
) -> tuple[Float64[Tensor, " samples"], Float64[Tensor, " samples"]]:
    """Terms of each pair from the critic that did not see it, and on average of those that did."""
    held_out, seen = (torch.zeros(pairs.samples, dtype=torch.float64) for _ in range(2))
    for number, fold in enumerate(pairs.folds(FOLDS, seed)):
        inside = torch.zeros(pairs.samples, dtype=torch.bool)
        inside[fold] = True
        rest = (~inside).nonzero()[:, 0]
        held_out[fold], of_rest = _scored(pairs, rest, fold, seed * FOLDS + number)
        seen[rest] += of_rest / (FOLDS - 1)
    return held_out, seen


def _scored(
    pairs: Pairs, train: Int64[Tensor, " train"], test: Int64[Tensor, " test"], seed: int
) -> tuple[Float64[Tensor, " test"], Float64[Tensor, " train"]]:
    """Fit a critic on some rows; its terms on others and on its own."""
    generator = torch.Generator().manual_seed(seed)
    fit, watch = _split(pairs, train, generator)
    x, y, gaussian = _sides(pairs, fit)
    watched = Draw.of(pairs, watch, UNRELATED_WATCHED, generator)
    ratio = density_ratio(pairs, x, y, gaussian, fit, watched, seed)

    def values(draw: Draw) -> tuple[Tensor, Tensor]:
        together, apart = ratio.of_pairs(x, y, draw)
        return together.double(), apart.double()

    clip = Clip.chosen(*values(watched))
    return (
        clip.terms(*values(Draw.of(pairs, test, UNRELATED, generator))),
        clip.terms(*values(Draw.of(pairs, train, UNRELATED_WATCHED, generator))),
    )


def _split(
    pairs: Pairs, rows: Int64[Tensor, " rows"], generator: torch.Generator
) -> tuple[Int64[Tensor, " fit"], Int64[Tensor, " watch"]]:
    """Rows to fit, and rows of at least two other sequences to watch."""
    sequences = pairs.sequences[rows].unique()
    order = torch.randperm(len(sequences), generator=generator)
    watched = torch.isin(
        pairs.sequences[rows], sequences[order[: max(2, len(sequences) // WATCHED)]]
    )
    return rows[~watched], rows[watched]


def _sides(pairs: Pairs, fit: Int64[Tensor, " rows"]) -> tuple[Side, Side, Canonical]:
    """All rows as they look to what was fitted on some."""
    features_x, features_y = Features.fit(pairs.x[fit]), Features.fit(pairs.y[fit])
    ranks_x, ranks_y = features_x.ranks(pairs.x), features_y.ranks(pairs.y)
    gaussian = Canonical.fit(ranks_x[fit], ranks_y[fit]).shrunk(len(fit))
    a, b = (each.float() for each in gaussian.variates(ranks_x, ranks_y))
    return (
        Side(a, torch.cat([a, features_x(pairs.x)], 1)),
        Side(b, torch.cat([b, features_y(pairs.y)], 1)),
        gaussian,
    )
