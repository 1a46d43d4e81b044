"""What the heads of a model do on one batch, call of attention by call of attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import AttentionCall, Evidence, Observation
from seqprobe.estimators.attention_statistics import (
    head_statistics,
    mean_distance,
    rolled_out,
    spread_rows,
)

ROLLED_OUT, LONGEST = 8, 256
MAPPED = 20
T = TypeVar("T")


@dataclass(frozen=True)
class Calls(Generic[T]):
    """What was read of each call, from which module; and of which modules nothing could be."""

    time: int
    sites: list[str]
    found: list[T]
    refused: Mapping[str, str]


def the_same_calls(
    observation: Observation, inputs: Tensor, read: Callable[[AttentionCall], T], sites: list[str]
) -> Calls[T] | None:
    """What is read on other inputs; None if the model does not attend in the same way there."""
    calls = each_call(observation, inputs, read)
    return calls if calls.sites == sites else None


def each_call(
    observation: Observation, inputs: Tensor, read: Callable[[AttentionCall], T]
) -> Calls[T]:
    """Run the model on inputs, and read every call that can be read."""
    assert observation.attend is not None
    sites: list[str] = []
    found: list[T] = []

    def keep(call: AttentionCall) -> None:
        sites.append(call.site)
        found.append(read(call))

    outputs, refused = observation.attend(inputs, keep)
    return Calls(outputs.shape[1], sites, found, refused)


def head_rows(observation: Observation, queries: int | None) -> Evidence:
    """Statistics of every head on the batch; heads of all layers side by side."""
    edges = distance_bins(observation.inputs.shape[1]).to(observation.inputs.device)

    def statistics(call: AttentionCall) -> dict[str, np.ndarray]:
        rows = spread_rows(call.time, queries).to(edges.device)
        found = head_statistics(call.rows, rows, call.norms, edges)
        known = {name: part.cpu().numpy() for name, part in found._asdict().items()}
        return known | {"difference": np.full_like(known["error"], call.difference)}

    calls = each_call(observation, observation.inputs, statistics)
    refused = "; ".join(f"{site}: {why}" for site, why in calls.refused.items())
    batch = len(observation.sequences)
    if not calls.found:
        return {"refused": np.full(batch, refused)}
    shares = np.stack([found.pop("shares") for found in calls.found], axis=1)
    layer = np.repeat(np.arange(len(calls.found)), [f["error"].shape[1] for f in calls.found])
    return {
        **{name: np.concatenate([f[name] for f in calls.found], axis=1) for name in calls.found[0]},
        "shares": shares,
        "time": np.full(batch, calls.time),
        "edges": np.tile(edges.cpu().numpy(), (batch, 1)),
        "layer": np.tile(layer, (batch, 1)),
        "sites": np.tile(calls.sites, (batch, 1)),
        "refused": np.full(batch, refused),
    }


def distance_bins(time: int) -> Tensor:
    """Where bins of distance begin: 0, 1, 2, 4, 8, ..."""
    return torch.tensor([0, *(2**k for k in range(max(time - 1, 0).bit_length()))])


def rollout_rows(observation: Observation, sites: list[str]) -> Evidence:
    """Mean distance over all layers together, of a few sequences."""
    few = sum(number < ROLLED_OUT for number in observation.sequences)
    if not few or observation.inputs.shape[1] > LONGEST:
        return {}
    calls = the_same_calls(observation, observation.inputs[:few], _mean_of_heads, sites)
    if calls is None:
        return {}
    return {"rollout_distance": mean_distance(rolled_out(calls.found)).cpu().numpy()}


def _mean_of_heads(call: AttentionCall) -> Float[Tensor, "batch time time"]:
    return _all_weights(call).mean(1)


def map_rows(observation: Observation, sites: list[str]) -> Evidence:
    """All weights of all heads on the beginning of the first sequence, read by itself."""
    if observation.sequences[0] != 0:
        return {}
    piece = observation.inputs[:1, :MAPPED]
    calls = the_same_calls(observation, piece, _all_weights, sites)
    if calls is None:
        return {}
    weights = torch.cat(calls.found, dim=1).cpu().numpy()
    return {"map": weights, "map_texts": np.array([_texts(observation, weights.shape[-1])])}


def _all_weights(call: AttentionCall) -> Float[Tensor, "batch heads time keys"]:
    return call.rows(spread_rows(call.time, None).to(call.norms.device)).weights


def _texts(observation: Observation, steps: int) -> list[str]:
    """What the first tokens stand for; their numbers, or empty for real-valued inputs."""
    if torch.is_floating_point(observation.inputs):
        return [""] * steps
    tokens = observation.inputs[0, :steps].tolist()
    texts = observation.texts
    return [str(texts[token]) if texts else str(token) for token in tokens]
