"""The log ratio of a joint density to the product of its margins, learned by classification.

Whoever tells pairs from unrelated ones as well as can be knows the ratio (Density Ratio Estimation
in Machine Learning, Sugiyama, Suzuki and Kanamori, 2012). It starts as the closed form of a
Gaussian copula; a small network adds what that leaves out.
"""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from seqprobe.estimators.information.canonical import Canonical
from seqprobe.estimators.information.pairs import Pairs, of_another
from seqprobe.estimators.seeded import seeded

HIDDEN = 64
MOST_STEPS, PASSES = 1000, 100  # passes over the rows; the fewer of both
BATCH = 512
RATE = 1e-2
DECAY = 1e-3
AVERAGE = 0.98  # of the weights, from step to step
LOOKS, PATIENCE = 10, 3  # at the loss on the way; without progress
_PROGRESS = 1e-4


class Side(NamedTuple):
    """One half of all pairs: on the axes of the copula, and as a network sees it."""

    variates: Float[Tensor, "rows axes"]
    features: Float[Tensor, "rows features"]

    def at(self, rows: Int64[Tensor, " picked"]) -> "Side":
        return Side(self.variates[rows], self.features[rows])


class Draw(NamedTuple):
    """Rows as they are paired, and so many unrelated pairs for each of them."""

    rows: Int64[Tensor, " rows"]
    others: Int64[Tensor, "times rows"]

    @classmethod
    def of(
        cls,
        pairs: Pairs,
        rows: Int64[Tensor, " rows"],
        times: int,
        generator: torch.Generator,
    ) -> "Draw":
        return cls(rows, torch.stack([pairs.unrelated(rows, generator) for _ in range(times)]))


class DensityRatio(nn.Module):
    """The log ratio in nats; before training, that of the Gaussian copula alone."""

    def __init__(self, gaussian: Canonical, x: int, y: int) -> None:
        super().__init__()
        self.gaussian = gaussian
        self.from_x, self.from_y = nn.Linear(x, HIDDEN), nn.Linear(y, HIDDEN, bias=False)
        self.middle, self.last = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def embed(self, x: Side, y: Side) -> tuple[Side, Side]:
        """Through the first layer, which needs to see each row once and not each pair."""
        return (
            Side(x.variates, self.from_x(x.features)),
            Side(y.variates, self.from_y(y.features)),
        )

    def forward(self, x: Side, y: Side) -> Float[Tensor, " rows"]:
        """Of embedded sides, row by row."""
        hidden = F.relu(x.features + y.features)
        residual = self.last(F.relu(self.middle(hidden)))[:, 0]
        ratio: Tensor = self.gaussian.log_ratio(x.variates, y.variates) + residual
        return ratio

    @torch.no_grad()
    def of_pairs(
        self, x: Side, y: Side, draw: Draw
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, "times rows"]]:
        """Of pairs as they are, and of unrelated ones."""
        x, y = self.embed(x, y)
        own = x.at(draw.rows)
        together: Tensor = self(own, y.at(draw.rows))
        return together, torch.stack([self(own, y.at(others)) for others in draw.others])


def density_ratio(
    pairs: Pairs,
    x: Side,
    y: Side,
    gaussian: Canonical,
    fit: Int64[Tensor, " rows"],
    watched: Draw,
    seed: int,
) -> DensityRatio:
    """Trained on rows `fit`; of all its states the one with the least loss on `watched`."""
    with seeded(seed):
        ratio = DensityRatio(gaussian, x.features.shape[1], y.features.shape[1])
    optimizer = torch.optim.AdamW(ratio.parameters(), RATE, weight_decay=DECAY, fused=True)
    steps = max(LOOKS, min(MOST_STEPS, PASSES * len(fit) // BATCH))
    schedule = OneCycleLR(optimizer, RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    best, average, since = copy.deepcopy(ratio), copy.deepcopy(ratio), 0
    least = _watched_loss(ratio, x, y, watched)
    for step in range(1, steps + 1):
        rows = fit[torch.randint(len(fit), (BATCH,), generator=generator).sort().values]
        optimizer.zero_grad()
        _loss(ratio, x.at(rows), y.at(rows), pairs.sequences[rows], generator).backward()
        optimizer.step()
        schedule.step()
        _follow(average, ratio)
        if step % (steps // LOOKS):
            continue
        loss, since = _watched_loss(average, x, y, watched), since + 1
        if loss < least - _PROGRESS:
            best, least, since = copy.deepcopy(average), loss, 0
        if since == PATIENCE:
            break
    return best


@torch.no_grad()
def _follow(average: DensityRatio, ratio: DensityRatio) -> None:
    for mean, weight in zip(average.parameters(), ratio.parameters(), strict=True):
        mean.lerp_(weight, 1 - AVERAGE)


def _loss(
    ratio: DensityRatio,
    x: Side,
    y: Side,
    sequences: Int64[Tensor, " rows"],
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    x, y = ratio.embed(x, y)
    return _logistic(ratio(x, y), ratio(x, y.at(of_another(sequences, generator))))


def _watched_loss(ratio: DensityRatio, x: Side, y: Side, watched: Draw) -> float:
    return float(_logistic(*ratio.of_pairs(x, y, watched)))


def _logistic(
    together: Float[Tensor, " rows"], apart: Float[Tensor, "*times rows"]
) -> Float[Tensor, ""]:
    """Cross-entropy of telling pairs from unrelated ones."""
    return F.softplus(-together).mean() + F.softplus(apart).mean()
