"""One token replaced by another one, and what that does to every other prediction."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Observation, Pieces
from seqprobe.probes.evidence.changes import KL, changes

Inputs = Int[Tensor, "batch _"] | Float[Tensor, "batch _ features"]
PLACES, NEAR = 16, 8
"""Stretches of a sequence in each of which one token is replaced, fewer where they do not fit, and
predictions at its end."""


class Replaced(NamedTuple):
    """Effects (as in `changes`) k steps after each edit, NaN beyond the end of the sequence.

    `before` are those k steps before each edit, NaN beyond the start; of causal models there are
    none, and no such distance.

    They count as much as a free draw of the token would change it. Each edit falls on the same
    stretch of every sequence, at or before its `latest` step. `null` is the KL divergence when the
    same tokens are put back.
    """

    steps: Int[np.ndarray, "batch edits"]
    latest: Int[np.ndarray, " edits"]
    effects: Float[np.ndarray, "batch edits time measures"]
    null: Float[np.ndarray, " batch"]
    before: Float[np.ndarray, "batch edits distances measures"]

    @property
    def window(self) -> int:
        """Distances that are measured from every early edit."""
        return int(self.effects.shape[2]) // 2

    @property
    def by_distance(self) -> Float[np.ndarray, "batch distances measures"]:
        """Mean over the edits that are followed by a whole window of known tokens."""
        early = self.latest + self.window < self.effects.shape[2]
        mean: np.ndarray = self.effects[:, early, : self.window].mean(1)
        return mean

    @property
    def ahead(self) -> Float[np.ndarray, "batch distances measures"] | None:
        """The same of predictions before the edits; None of causal models."""
        late = np.concatenate([[0], self.latest[:-1] + 1]) + 1 >= self.window
        mean: np.ndarray = self.before[:, late, : self.window].mean(1)
        return mean if mean.shape[1] else None

    @property
    def on_the_last(self) -> Float[np.ndarray, "batch edits"]:
        """KL divergence of the last predictions of the sequence, on average."""
        batch, edits, time, _ = self.effects.shape
        later = np.arange(time - NEAR, time) - self.steps[..., None]
        rows, columns = np.ogrid[:batch, :edits]
        mean: np.ndarray = self.effects[rows[..., None], columns[..., None], later, KL].mean(-1)
        return mean

    @property
    def places(self) -> Int[np.ndarray, " places"]:
        """Where each stretch begins."""
        return _bounds(self.effects.shape[2])[:-1]

    def by_place(
        self, numbers: Float[np.ndarray, "batch edits"]
    ) -> Float[np.ndarray, "batch places"]:
        """Mean over the edits of each stretch."""
        bounds = _bounds(self.effects.shape[2])
        if numbers.shape[1] == len(bounds) - 1:
            return numbers
        sums: np.ndarray = np.add.reduceat(numbers, bounds[:-1], axis=1)
        return sums / np.diff(bounds)


def replaced(observation: Observation, seed: int, *, exact: bool = False) -> Replaced:
    """One edit in each of `PLACES` stretches of every sequence, or at every step: `exact`."""
    assert observation.interventions is not None
    key = "replaced", seed, exact
    return observation.interventions.once(key, lambda: _replaced(observation, seed, exact))


def _replaced(observation: Observation, seed: int, exact: bool) -> Replaced:
    tokens, reruns = observation.inputs, observation.interventions
    assert reruns is not None
    steps, others, weights = _drawn(observation, seed, exact)
    same = tokens[torch.arange(len(tokens)), steps[:, 0]][:, None].cpu()
    every, put = torch.cat([steps, steps[:, :1]], dim=1), torch.cat([others, same], dim=1)
    pieces = _pieces(tokens, every, put)
    whole = pieces if observation.causal else _whole(tokens, pieces)
    read = reruns.continued(whole, changes(observation)).unflatten(0, every.shape)
    null, read = read[:, -1, :, KL].nanmean(1), read[:, :-1] * weights.to(read)[..., None, None]
    found = (read, read[:, :, :0]) if observation.causal else _both_ways(read, steps)
    latest = np.arange(steps.shape[1]) if exact else _bounds(tokens.shape[1])[1:] - 1
    after, before = (each.double().cpu().numpy() for each in found)
    return Replaced(steps.numpy(), latest, after, null.double().cpu().numpy(), before)


def _whole(tokens: Inputs, pieces: Pieces) -> Pieces:
    """The whole sequences, with what the first token of each piece puts in its place."""
    inputs = tokens[pieces.sequences]
    inputs[torch.arange(len(inputs), device=inputs.device), pieces.starts] = pieces.inputs[:, 0]
    return Pieces(pieces.sequences, torch.zeros_like(pieces.starts), inputs)


def _both_ways(
    read: Float[Tensor, "batch edits time measures"], steps: Int[Tensor, "batch edits"]
) -> tuple[Float[Tensor, "batch edits time measures"], Float[Tensor, "batch edits time measures"]]:
    """From what was read step by step: so many steps after each edit, and before it."""
    time = read.shape[2]

    def at(places: Int[Tensor, "batch edits time"]) -> Float[Tensor, "batch edits time measures"]:
        places = places.to(read.device)[..., None]
        chosen = read.gather(2, places.clamp(0, time - 1).expand_as(read))
        return chosen.where((places >= 0) & (places < time), torch.nan)

    distances = torch.arange(time)
    return at(steps[..., None] + distances), at(steps[..., None] - distances)


def _bounds(time: int) -> Int[np.ndarray, " bounds"]:
    """Where the stretches begin and end; the last few predictions come after all of them."""
    last = time - NEAR
    return np.linspace(0, last, min(PLACES, last) + 1).round().astype(int)


def _pieces(tokens: Inputs, steps: Int[Tensor, "batch edits"], others: Inputs) -> Pieces:
    """From every step to the end of its sequence, the first token being another one."""
    batch, time = tokens.shape[:2]
    starts = steps.flatten().to(tokens.device)
    rows = torch.arange(batch, device=tokens.device).repeat_interleave(steps.shape[1])
    at = starts[:, None] + torch.arange(time, device=tokens.device)
    inputs = tokens[rows[:, None], at.clamp(max=time - 1)]
    inputs[:, 0] = others.flatten(0, 1).to(inputs)
    return Pieces(rows, starts, inputs)


def _drawn(
    observation: Observation, seed: int, exact: bool
) -> tuple[Int[Tensor, "batch edits"], Inputs, Float[Tensor, "batch edits"]]:
    """At which steps, which other tokens, and how often a free draw would be another one.

    Drawing only other tokens and weighing by that chance has the mean of a free draw, with less
    variance. Real values are drawn freely.
    """
    tokens, frequencies = observation.inputs.cpu(), observation.frequencies
    bounds = _bounds(tokens.shape[1])
    edits = int(bounds[-1]) if exact else len(bounds) - 1
    steps = torch.empty(len(tokens), edits, dtype=torch.long)
    others = tokens.new_empty(len(tokens), edits, *tokens.shape[2:])
    weights = torch.ones(len(tokens), edits, dtype=torch.float64)
    chances = None if frequencies is None else frequencies.double().cpu().numpy()
    for row, number in enumerate(observation.sequences):
        generator = np.random.default_rng((seed, number))
        chosen = np.arange(edits) if exact else generator.integers(bounds[:-1], bounds[1:])
        steps[row] = torch.from_numpy(chosen)
        if chances is None:
            assert observation.values is not None
            others[row] = drawn_values(observation.values, generator, edits)
            continue
        for edit, present in enumerate(tokens[row, steps[row]].tolist()):
            others[row, edit], weights[row, edit] = _another(chances, present, generator)
    return steps, others, weights


def drawn_values(
    values: Float[Tensor, "values features"], generator: np.random.Generator, count: int
) -> Float[Tensor, "count features"]:
    """So many inputs of the stream, each from anywhere."""
    return values[torch.from_numpy(generator.integers(len(values), size=count))]


def _another(
    chances: Float[np.ndarray, " vocab"], present: int, generator: np.random.Generator
) -> tuple[int, float]:
    """A token that is not the present one, and the chance of drawing any such."""
    rest = chances.copy()
    rest[present] = 0.0
    total = rest.sum()
    if total == 0:
        return present, 0.0
    return int(generator.choice(len(rest), p=rest / total)), float(total / chances.sum())
