"""Whether random tokens that were read before are predicted better when they come again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Null, Observation, Pieces, Series
from seqprobe.estimators.effects import surprisal_bits
from seqprobe.probes.evidence.changes import finite
from seqprobe.probes.evidence.over_sequences import columns, estimated_mean
from seqprobe.probes.evidence.predicting import why_no_loss

COPIED, NEAREST = 16, 8
COPY, OTHER, ANOTHER, ACCURACY = range(4)


def copied(
    observation: Observation, distance: int, generators: Sequence[np.random.Generator]
) -> Evidence:
    """Loss of a piece of random tokens after itself and after two others, by distance.

    Nothing where inputs are real values, the next token has no loss, tokens are all the same, or
    the sequences are too short.
    """
    if observation.frequencies is None or why_no_loss(observation):
        return {}
    support = observation.frequencies.nonzero()[:, 0].cpu()
    if len(support) < 2:
        return {}
    time = observation.inputs.shape[1]
    length = min(COPIED, time // 4)
    distances = _distances(distance, time - length)
    if not distances:
        return {}
    found = [_at(observation, far, min(length, far + 1), support, generators) for far in distances]
    every = np.tile(distances, (len(observation.sequences), 1))
    return {"copy distance": every, "copy": np.stack(found, axis=1)}


def _distances(asked: int, longest: int) -> list[int]:
    """Powers of two up to the distance asked about, and this one."""
    powers = [NEAREST << power for power in range(asked.bit_length())]
    return [far for far in (*(p for p in powers if p < asked), asked) if 1 <= far <= longest]


def _at(
    observation: Observation,
    distance: int,
    length: int,
    support: Int[Tensor, " tokens"],
    generators: Sequence[np.random.Generator],
) -> Float[np.ndarray, "batch kinds"]:
    """Mean losses of the second piece, and how often its tokens are the likeliest ones.

    The first token of the piece cannot be known to be a copy and does not count.
    """
    run, device = observation.interventions, observation.inputs.device
    assert run is not None
    gap = distance + 1 - length
    drawn = [generator.integers(len(support), size=3 * length + gap) for generator in generators]
    tokens = support[torch.from_numpy(np.stack(drawn))].to(device)
    piece, other, another, between = tokens.split([length, length, length, gap], dim=1)
    firsts = torch.cat([piece, other, another])
    inputs = torch.cat([firsts, torch.cat([between, piece[:, :-1]], dim=1).repeat(3, 1)], dim=1)
    sequences = torch.arange(len(piece), device=device).repeat(3)

    def read(outputs: Tensor, sequences: Tensor, _steps: Tensor) -> Tensor:
        named = piece[sequences, 1:]
        right = (outputs.argmax(-1) == named).double()
        return torch.stack([finite(surprisal_bits(outputs.double(), named)), right], dim=-1)

    read_on = run.fresh(
        Pieces(sequences, torch.zeros_like(sequences), inputs), read, last=length - 1
    )
    losses, right = read_on.mean(1).unflatten(0, (3, -1)).unbind(-1)
    return torch.stack([*losses, right[COPY]], dim=1).cpu().numpy()


def copy_metrics(evidence: Evidence, distance: int, seed: int) -> dict[str, Estimate]:
    """Bits gained for each token, at the shortest distance and at the one asked about."""
    distances = evidence["copy distance"][0].tolist() if "copy" in evidence else []
    wanted = {"copied_bits": min(distances, default=NEAREST), "copied_at_distance": distance}
    return {
        name: _estimate(evidence["copy"][:, distances.index(far)], seed)
        if far in distances
        else Estimate.missing("bits", f"no random tokens were asked for over distance {far}")
        for name, far in wanted.items()
    }


def _estimate(losses: Float[np.ndarray, "sequences kinds"], seed: int) -> Estimate:
    """What the copy gains, held against what a piece gains from one that it does not repeat."""
    by_chance = columns(_by_chance(losses)[:, None], "value", "", seed=seed)
    null = [_known(value.item()) for value in by_chance.values()]
    return estimated_mean(
        _gained(losses),
        "bits",
        Null("a piece that is no copy", *null),
        seed=seed,
        ceiling=_known(_without(losses).mean()),
    )


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def copy_table(evidence: Evidence, seed: int) -> tuple[Series, ...]:
    """Bits gained for each token, by distance; none where nothing was asked for."""
    if "copy" not in evidence:
        return ()
    losses = evidence["copy"]
    table = {
        "distance": evidence["copy distance"][0],
        **columns(_gained(losses), "gained_bits", "", seed=seed),
        **columns(_by_chance(losses), "null", "null_", seed=seed),
        "ceiling": _without(losses).mean(0),
        "accuracy": losses[..., ACCURACY].mean(0),
        "n": [len(losses)] * losses.shape[1],
    }
    return (Series.of("context-copy", table, {"distance": "steps", "gained_bits": "bits"}),)


def _without(losses: Float[np.ndarray, "*some kinds"]) -> Float[np.ndarray, "*some"]:
    """The loss where nothing comes again."""
    mean: np.ndarray = (losses[..., OTHER] + losses[..., ANOTHER]) / 2
    return mean


def _gained(losses: Float[np.ndarray, "*some kinds"]) -> Float[np.ndarray, "*some"]:
    gained: np.ndarray = _without(losses) - losses[..., COPY]
    return gained


def _by_chance(losses: Float[np.ndarray, "*some kinds"]) -> Float[np.ndarray, "*some"]:
    gained: np.ndarray = losses[..., ANOTHER] - losses[..., OTHER]
    return gained
