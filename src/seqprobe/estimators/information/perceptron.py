"""A small neural decoder with all lags as its heads: for codes that are not linear."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.seeded import seeded

HIDDEN, EPOCHS, BATCH, RATE, DECAY = 512, 12, 256, 2e-3, 1e-2


def perceptron(
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    folds: Folds,
    seed: int = 0,
) -> Float[Tensor, "rows lags"]:
    """Log-likelihoods, in nats, of rows that a network did not see.

    Of the epochs each lag takes the one that is best on one of the training folds.
    """
    told = states.new_empty(labels.shape)
    with seeded(seed), torch.enable_grad():
        for index, part in enumerate(folds.parts):
            stop = folds.parts[(index + 1) % len(folds)]
            train = folds.others(index)
            train = train[~torch.isin(train, stop)]
            best = torch.full_like(told[0], -torch.inf)
            for net in _trained(states[train], labels[train], classes):
                reached = _told(net, states[stop], labels[stop]).mean(0)
                better = reached > best
                told[part] = torch.where(better, _told(net, states[part], labels[part]), told[part])
                best = torch.maximum(best, reached)
    return told


def _trained(
    states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"], classes: int
) -> Iterator[nn.Module]:
    """The network after each epoch."""
    heads = nn.Linear(HIDDEN, labels.shape[1] * classes)
    nn.init.zeros_(heads.weight)
    net = nn.Sequential(
        nn.Linear(states.shape[1], HIDDEN), nn.GELU(), heads, nn.Unflatten(1, (-1, classes))
    ).to(states)
    steps = EPOCHS * -(-len(states) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(states)).to(states.device).split(BATCH):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(states[rows]).flatten(0, 1), labels[rows].flatten())
            (loss * labels.shape[1]).backward()
            optimizer.step()
            schedule.step()
        yield net


@torch.no_grad()
def _told(
    net: nn.Module, states: Float[Tensor, "rows width"], labels: Int[Tensor, "rows lags"]
) -> Float[Tensor, "rows lags"]:
    loss = F.cross_entropy(net(states).flatten(0, 1), labels.flatten(), reduction="none")
    return -loss.view(labels.shape)
