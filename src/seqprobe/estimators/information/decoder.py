"""Bits about discrete symbols that a decoder reads from states, for all lags at once.

A held-out decoder bounds information from below: I(x; h) >= H(x) - cross-entropy of any decoder
that predicts x from h (The IM Algorithm, Barber and Agakov, 2003). H(x) is known where the symbols
are drawn by us; else it is the plug-in entropy of the very rows that are scored, for the
cross-entropy of symbol frequencies in its place would break the bound.
"""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.estimators.information.cross_fit import Scored
from seqprobe.estimators.information.decoded import DecodedBits
from seqprobe.estimators.information.entropy import entropies, surprisal
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.joint import joint
from seqprobe.estimators.information.linear import linear
from seqprobe.estimators.information.neighbours import neighbours
from seqprobe.estimators.information.perceptron import perceptron
from seqprobe.estimators.information.refusals import refusals
from seqprobe.estimators.information.temperature import cautious

Effort = Literal["linear", "ensemble", "full"]
TOGETHER, LEAD, LOOK, SURE, NULLS = 16, 1e-3, 600, 4.0, 16
KERNEL = (0.5, 0.9)


def decodable_bits(
    states: Float[Tensor, "sequences steps width"],
    labels: Int[Tensor, "sequences steps lags"],
    classes: int,
    *,
    chances: Float[Tensor, " classes"] | None = None,
    effort: Effort = "ensemble",
    seed: int = 0,
) -> DecodedBits:
    """Cross-fitted information between the states and their labels, one per lag, in bits.

    Args:
        states: real numbers; whole sequences are held out, whatever their steps have in common.
        labels: numbers below `classes`, for each state one per lag.
        classes: how many symbols there are.
        chances: of each class, where the symbols were drawn so; None to count them.
        effort: `linear` takes the closed form alone; `ensemble` adds decoding symbols together
            and nearest neighbours; `full` adds a small network. Each lag takes the one that does
            best on the other folds.
        seed: of the folds.
    """
    sequences, steps, lags = labels.shape
    entropy = entropies(labels.flatten(0, 1), classes, chances)
    unusable = refusals(states, labels, classes, chances)
    nothing = np.full((sequences, lags), np.nan)
    held_out, null, seen, second = nothing, nothing, nothing[0], nothing[0]
    by_class = None
    if not all(unusable):
        some, nearest = null_lags(lags, NULLS)
        elsewhere = labels[..., some].roll(1, dims=0)
        both = torch.cat([labels, elsewhere], dim=2).flatten(0, 1)
        found = decoded(standardised(states), both, classes, steps, effort=effort, seed=seed)
        told = found.held_out if chances is not None else cautious(found.held_out, 1 / classes)
        bits = surprisal(both, classes, chances) + told.double() / math.log(2)
        each = bits.unflatten(0, (sequences, steps)).mean(1).cpu().numpy()
        held_out, null = each[:, :lags], each[:, lags:][:, nearest]
        by_class = _by_class(bits[:, :lags], both[:, :lags], classes)
        seen = entropy + found.seen[:lags].double().cpu().numpy() / math.log(2)
        if found.near is not None:
            second = found.near[:lags].double().cpu().numpy() / math.log(2)
    return DecodedBits(
        held_out,
        null,
        seen,
        second,
        entropy,
        counted=chances is None,
        rows=sequences * steps * 4 // 5,
        parameters=(classes - 1) * (states.shape[2] + 1),
        seed=seed,
        unusable=unusable,
        by_class=by_class,
    )


def null_lags(lags: int, most: int) -> tuple[list[int], list[int]]:
    """At which lags to measure the null, and which of them is nearest to each lag.

    The symbols of other sequences have as little to do with the state at one lag as at another.
    """
    some = np.unique(np.linspace(0, lags - 1, min(lags, most)).round().astype(int))
    nearest = np.abs(np.arange(lags)[:, None] - some).argmin(1)
    return some.tolist(), nearest.tolist()


def _by_class(
    bits: Float64[Tensor, "rows lags"], labels: Int[Tensor, "rows lags"], classes: int
) -> Float64[np.ndarray, "classes lags"]:
    """The mean over the rows of each class."""
    total = bits.new_zeros(classes, bits.shape[1]).scatter_add(0, labels, bits)
    count = torch.zeros_like(total).scatter_add(0, labels, torch.ones_like(bits))
    mean: np.ndarray = (total / count).cpu().numpy()
    return mean


def decoded(
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    steps: int,
    *,
    effort: Effort,
    seed: int,
) -> Scored:
    """Log-likelihoods of the decoder that suits each lag best; `steps` rows make a sequence."""
    folds = Folds.of(len(states) // steps, steps, seed, states.device)
    plain = linear(states, labels, classes, folds, seed)
    if effort == "linear":
        return plain
    together = _together(plain, states, labels, classes, folds, seed)
    candidates = [plain.held_out, together.held_out]
    near = torch.full_like(plain.seen, torch.nan)
    few = folds.some(0, LOOK, seed)
    looked = neighbours(states, labels, classes, folds, few, seed).held_out[:, few]
    chosen = _promising([each[few] for each in candidates], looked)
    if len(chosen):
        found = neighbours(states, labels[:, chosen], classes, folds, seed=seed)
        near[chosen] = found.estimate
        for mixed in _mixed([each[:, chosen] for each in candidates], found.held_out):
            candidates.append(plain.held_out.index_copy(1, chosen, mixed))
    if effort == "full":
        candidates.append(perceptron(states, labels, classes, folds, seed))
    held_out = torch.stack(candidates)
    picked, lead = _picked(held_out, folds)
    seen = torch.full_like(held_out[:, 0], torch.nan)
    seen[:2] = torch.stack([plain.seen, together.seen])
    return Scored(picked, seen.gather(0, lead[None])[0], near)


def _mixed(
    candidates: list[Float[Tensor, "rows lags"]], near: Float[Tensor, "bandwidths rows lags"]
) -> list[Float[Tensor, "rows lags"]]:
    """Neighbours may all be wrong: some weight stays with what the state says linearly."""
    base = torch.stack(candidates).exp().mean(0)
    return [((1 - share) * base + share * each).log() for share in KERNEL for each in near]


def _promising(
    candidates: list[Float[Tensor, "few lags"]], near: Float[Tensor, "bandwidths few lags"]
) -> Int[Tensor, " chosen"]:
    """The lags where neighbours do better on a few rows, by more than chance."""
    best = torch.stack(candidates)
    lead = best.mean(1).argmax(0).expand(1, *best.shape[1:])
    gain = torch.stack(_mixed(candidates, near)) - best.gather(0, lead)
    mean, error = gain.mean(1), gain.std(1) / math.sqrt(gain.shape[1])
    return (mean > LEAD + SURE * error).any(0).nonzero()[:, 0]


def _together(
    plain: Scored,
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows lags"],
    classes: int,
    folds: Folds,
    seed: int,
) -> Scored:
    """Decode together, the surest first, where the linear decoder finds something; else as it."""
    nothing_known = surprisal(labels, classes, None).mean(0) * math.log(2)
    gain = plain.held_out.mean(0) + nothing_known
    room = (len(states) // 4 - states.shape[1]) // (classes - 1)
    chosen = gain.argsort(descending=True)[: max(0, min(TOGETHER, room))]
    chosen = chosen[gain[chosen] > LEAD]
    if len(chosen) < 2:
        return plain
    found = joint(states, labels[:, chosen], classes, folds, seed)
    held_out, seen = plain.held_out.clone(), plain.seen.clone()
    held_out[:, chosen], seen[chosen] = found.held_out, found.seen
    return Scored(held_out, seen)


def _picked(
    held_out: Float[Tensor, "decoders rows lags"], folds: Folds
) -> tuple[Float[Tensor, "rows lags"], Int[Tensor, " lags"]]:
    """Each fold by the decoder that is best on the others, and the one that is best on all.

    The first one gives way only to one that is better by more than chance.
    """
    each = torch.stack([held_out[:, part].sum(1) for part in folds.parts])
    each[:, 0] += LEAD * torch.tensor([len(part) for part in folds.parts])[:, None].to(each)
    picked = torch.empty_like(held_out[0])
    for index, part in enumerate(folds.parts):
        best = (each.sum(0) - each[index]).argmax(0)
        picked[part] = held_out[:, part].gather(0, best.expand(1, len(part), -1))[0]
    return picked, each.sum(0).argmax(0)


def standardised(
    states: Float[Tensor, "sequences steps width"],
) -> Float[Tensor, "rows width"]:
    """Every feature with mean 0 and variance 1; a constant one becomes 0."""
    rows = states.flatten(0, 1)
    centred = rows - rows.mean(0)
    spread = centred.square().mean(0).sqrt()
    return centred / torch.where(spread > 0, spread, 1.0)
