"""Mutual information by contrast: which y of a batch belongs to this x?

Representation Learning with Contrastive Predictive Coding (van den Oord, Li and Vinyals, 2018);
as a bound, On Variational Bounds of Mutual Information (Poole et al., 2019). It has little
variance, but whoever finds the right one among so many shows no more than their logarithm: near
that ceiling it says "at least", however much there is.
"""

import copy
import math

import torch
from jaxtyping import Float, Float32, Float64, Int, Int64
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from seqprobe.contracts import Estimate
from seqprobe.estimators.information.features import Features
from seqprobe.estimators.information.local import averaged
from seqprobe.estimators.information.pairs import Pairs
from seqprobe.estimators.seeded import seeded

FOLDS = 3
WATCHED = 8  # one of so many batches chooses when to stop
HIDDEN, CODE = 64, 32
MOST_STEPS, PASSES = 600, 20  # passes over the rows; the fewer of both
LOOKS, PATIENCE = 10, 3  # at the watched batches on the way; without progress
RATE = 5e-3
DECAY = 1e-3


def contrastive_bits(
    x: Float[Tensor, "samples x"],
    y: Float[Tensor, "samples_y y"],
    *,
    sequences: Int[Tensor, " labels"] | None = None,
    batch: int = 128,
    seed: int = 0,
) -> Estimate:
    """InfoNCE of held-out sequences in bits, a lower bound with the ceiling log2(batch).

    Not estimable where `Pairs` refuses, or where a fold holds less than a batch; shapes that do not
    match raise ValueError.
    """
    pairs = Pairs.of(x, y, sequences)
    if because := pairs.refusal or _too_small(pairs, batch, seed):
        return Estimate.missing("bits", because)
    terms, nowhere = (_held_out(each, batch, seed)[:, None] for each in (pairs, pairs.elsewhere()))
    return averaged(pairs, terms, nowhere, ceiling=math.log2(batch), lower_bound=True, seed=seed)


class Codes(nn.Module):
    """x and y as vectors whose product is large where they belong together."""

    def __init__(self, x: int, y: int) -> None:
        super().__init__()
        self.of_x, self.of_y = _network(x), _network(y)

    def forward(
        self, x: Float32[Tensor, "batch x"], y: Float32[Tensor, "batch y"]
    ) -> Float32[Tensor, "batch batch"]:
        """Scores of every x with every y."""
        scores: Tensor = self.of_x(x) @ self.of_y(y).T / math.sqrt(CODE)
        return scores


def contrast(scores: Float[Tensor, "batch batch"]) -> Float[Tensor, " batch"]:
    """How much surer of its own y each x is than by guessing, in nats; at most log(batch)."""
    return scores.log_softmax(1).diagonal() + math.log(len(scores))


def _too_small(pairs: Pairs, batch: int, seed: int) -> str:
    smallest = min(map(len, pairs.folds(FOLDS, seed)))
    if smallest >= batch:
        return ""
    return f"{smallest} samples to hold out are too few for a batch of {batch}"


def _held_out(pairs: Pairs, batch: int, seed: int) -> Float64[Tensor, " samples"]:
    terms = torch.zeros(pairs.samples, dtype=torch.float64)
    folds = pairs.folds(FOLDS, seed)
    for number, fold in enumerate(folds):
        rest = torch.cat(folds[:number] + folds[number + 1 :])
        generator = torch.Generator().manual_seed(seed * FOLDS + number)
        x, y = (Features.fit(side[rest])(side) for side in (pairs.x, pairs.y))
        codes = _trained(x, y, rest, batch, generator)
        for rows in _batches(fold, batch, generator):
            terms[rows] = contrast(codes(x[rows], y[rows])).detach().double()
    return terms


def _trained(
    x: Float32[Tensor, "samples x"],
    y: Float32[Tensor, "samples y"],
    rows: Int64[Tensor, " rows"],
    batch: int,
    generator: torch.Generator,
) -> Codes:
    """Of all states the one that does best on batches that are only watched."""
    batches = _batches(rows, batch, generator)
    watched = batches[: max(1, len(batches) // WATCHED)]
    fit = torch.cat(batches[len(watched) :])
    with seeded(generator.initial_seed()):
        codes = Codes(x.shape[1], y.shape[1])
    optimizer = torch.optim.AdamW(codes.parameters(), RATE, weight_decay=DECAY, fused=True)
    steps = max(LOOKS, min(MOST_STEPS, PASSES * len(fit) // batch))
    schedule = OneCycleLR(optimizer, RATE, total_steps=steps)
    best, most, since = codes, -math.inf, 0
    for step in range(steps):
        if step % (steps // LOOKS) == 0:
            value, since = _mean(codes, x, y, watched), since + 1
            if value > most:
                best, most, since = copy.deepcopy(codes), value, 0
            if since == PATIENCE:
                break
        drawn = fit[torch.randperm(len(fit), generator=generator)[:batch]]
        optimizer.zero_grad()
        (-contrast(codes(x[drawn], y[drawn])).mean()).backward()
        optimizer.step()
        schedule.step()
    return best


@torch.no_grad()
def _mean(
    codes: Codes,
    x: Float32[Tensor, "samples x"],
    y: Float32[Tensor, "samples y"],
    batches: list[Int64[Tensor, " batch"]],
) -> float:
    return float(torch.cat([contrast(codes(x[rows], y[rows])) for rows in batches]).mean())


def _batches(
    rows: Int64[Tensor, " rows"], batch: int, generator: torch.Generator
) -> list[Int64[Tensor, " batch"]]:
    """All rows in random batches; a small rest takes the place of others, to be a full one."""
    order = rows[torch.randperm(len(rows), generator=generator)]
    full = list(order.split(batch))
    if len(full[-1]) < batch:
        full[-1] = order[-batch:]
    return full


def _network(width: int) -> nn.Module:
    last = nn.Linear(HIDDEN, CODE)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(width, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), last
    )
