"""Random sequences that come twice: which heads go back to what followed the same token before."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import AttentionCall, Evidence, Observation
from seqprobe.estimators.attention_statistics import BLOCK
from seqprobe.probes.evidence.heads import the_same_calls

LONGEST_PERIOD, SHORTEST_TIME = 64, 16
APART = 2
"""How far another period has to be, so that it is not a neighbouring key."""


def repeated_rows(
    observation: Observation, generators: list[np.random.Generator], sites: list[str]
) -> Evidence:
    """Weights on the token after the same one a period ago, at another period, and one step back.

    Every sequence has a period of its own; without variation a position would tell it. Empty
    where sequences are too short, or where those are attended to by other modules than `sites`.
    """
    time = observation.inputs.shape[1]
    longest = min(time // 2, LONGEST_PERIOD)
    if time < SHORTEST_TIME:
        return {}
    periods = [int(g.integers(longest // 2, longest, endpoint=True)) for g in generators]
    others = [_other(g, p, longest) for g, p in zip(generators, periods, strict=True)]
    inputs = repeated(observation, periods, generators, 2 * longest)

    def scores(call: AttentionCall) -> list[Float[Tensor, "batch heads"]]:
        there = call.norms.device
        period, other = (torch.tensor(each, device=there) for each in (periods, others))
        return [each.cpu() for each in _scores(call, period, other)]

    calls = the_same_calls(observation, inputs, scores, sites)
    if calls is None:
        return {}
    names = "induction", "shifted", "previous"
    return {
        "repeated_time": np.full(len(inputs), calls.time),
        **{
            name: torch.cat(parts, dim=1).numpy()
            for name, parts in zip(names, zip(*calls.found, strict=True), strict=True)
        },
    }


def repeated(
    observation: Observation, periods: list[int], generators: list[np.random.Generator], time: int
) -> Tensor:
    """Tokens that occur in the data, each at most once in a period if there are enough of them.

    Real-valued sequences repeat their own first steps.
    """
    rows = []
    for row, (period, generator) in enumerate(zip(periods, generators, strict=True)):
        piece = observation.inputs[row, :period]
        if observation.frequencies is not None:
            known = np.flatnonzero(observation.frequencies.cpu().numpy())
            drawn = generator.choice(known, period, replace=len(known) < period)
            piece = torch.from_numpy(drawn).to(observation.inputs)
        rows.append(piece.repeat(-(-time // period), *[1] * (piece.ndim - 1))[:time])
    return torch.stack(rows)


def _other(generator: np.random.Generator, period: int, longest: int) -> int:
    """Another period that some sequence could have."""
    choices = np.arange(longest // 2, longest + 1)
    return int(generator.choice(choices[np.abs(choices - period) >= APART]))


def _scores(
    call: AttentionCall, period: Int[Tensor, " batch"], other: Int[Tensor, " batch"]
) -> list[Float[Tensor, "batch heads"]]:
    """Means over the second copy; the previous token over the whole sequence."""
    asked = [period - 1, other - 1, torch.ones_like(period)]
    parts = []
    for rows in torch.arange(call.time, device=period.device).split(BLOCK):
        weights = call.rows(rows).weights
        parts.append(torch.stack([_weight_at(weights, rows, back) for back in asked]))
    steps = torch.arange(call.time, device=period.device)
    second = (steps >= period[:, None]) & (steps < 2 * period[:, None])
    counted = [second, second & (steps >= other[:, None] - 1), steps.expand_as(second) > 0]
    weights = torch.cat(parts, dim=-1)
    return [
        each.where(where[:, None], torch.nan).nanmean(-1)
        for each, where in zip(weights, counted, strict=True)
    ]


def _weight_at(
    weights: Float[Tensor, "batch heads rows keys"],
    rows: Int[Tensor, " rows"],
    back: Int[Tensor, " batch"],
) -> Float[Tensor, "batch heads rows"]:
    """The weight of the key so many steps back, in each sequence."""
    keys = (rows - back[:, None]).clamp(min=0)[:, None, :, None]
    return weights.gather(-1, keys.expand(*weights.shape[:3], 1)).squeeze(-1)
