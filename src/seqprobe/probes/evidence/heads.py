"""What the heads of a model do on one batch, call of attention by call of attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import AttentionCall, Evidence, Observation
from seqprobe.estimators.attention_statistics import mean_distance, rolled_out, spread_rows
from seqprobe.estimators.head_rows import HeadRows, distance_bins

ROLLED_OUT, LONGEST = 8, 256
MAPPED = 20
SINK = 0.3
T = TypeVar("T")


@dataclass(frozen=True)
class Calls(Generic[T]):
    """What was read of each call, in their order."""

    time: int
    found: list[T]


def the_same_calls(
    observation: Observation, inputs: Tensor, read: Callable[[AttentionCall], T], sites: list[str]
) -> Calls[T] | None:
    """What is read on other inputs; None if the model does not attend in the same way there."""
    assert observation.attend is not None
    found: list[tuple[str, T]] = []
    outputs, _ = observation.attend(inputs, lambda call: found.append((call.site, read(call))))
    if [site for site, _ in found] != sites:
        return None
    return Calls(outputs.shape[1], [each for _, each in found])


def head_rows(observation: Observation, queries: int | None) -> Evidence:
    """Statistics of every head on the batch; heads of all layers side by side."""
    assert observation.attend is not None
    inputs = observation.inputs
    rows = HeadRows(len(inputs), queries, distance_bins(inputs.shape[1]))
    outputs, refused = observation.attend(inputs, rows.read)
    return rows.evidence(outputs.shape[1], refused)


def rollout_rows(observation: Observation, sites: list[str]) -> Evidence:
    """Mean distance over all layers together, of a few sequences."""
    few = sum(number < ROLLED_OUT for number in observation.sequences)
    if not few or observation.inputs.shape[1] > LONGEST:
        return {}
    calls = the_same_calls(observation, observation.inputs[:few], _mean_weights, sites)
    if calls is None:
        return {}
    return {"rollout_distance": mean_distance(rolled_out(calls.found)).numpy()}


def _mean_weights(call: AttentionCall) -> Float[Tensor, "batch time time"]:
    return _weights(call).mean(1).cpu()


def map_rows(observation: Observation, sites: list[str]) -> Evidence:
    """All weights of all heads on the beginning of the first sequence, read by itself."""
    if observation.sequences[0] != 0:
        return {}
    piece = observation.inputs[:1, :MAPPED]
    calls = the_same_calls(observation, piece, _all_weights, sites)
    if calls is None:
        return {}
    weights = torch.cat(calls.found, dim=1).numpy()
    return {"map": weights, "map_texts": np.array([_texts(observation, weights.shape[-1])])}


def _all_weights(call: AttentionCall) -> Float[Tensor, "batch heads time keys"]:
    return _weights(call).cpu()


def _weights(call: AttentionCall) -> Float[Tensor, "batch heads time keys"]:
    """Where the call was made; other layers may be on other devices."""
    return call.rows(spread_rows(call.time, None).to(call.norms.device)).weights


def _texts(observation: Observation, steps: int) -> list[str]:
    """What the first tokens stand for; their numbers, or empty for real-valued inputs."""
    if torch.is_floating_point(observation.inputs):
        return [""] * steps
    tokens = observation.inputs[0, :steps].tolist()
    texts = observation.texts
    return [str(texts[token]) if texts else str(token) for token in tokens]


def mean_of_heads(heads: Float[np.ndarray, "some heads"]) -> Float[np.ndarray, " some"]:
    """As a statistic of mean curves."""
    found: np.ndarray = heads.mean(-1)
    return found


def sink_rate(heads: Float[np.ndarray, "some heads"]) -> Float[np.ndarray, " some"]:
    """Of the weights on the first key: the share of heads that are sinks."""
    return mean_of_heads((heads > SINK).astype(np.float64))


def nothing_read(refused: str) -> str:
    """Why there are no heads."""
    if refused:
        return f"the weights of attention cannot be told ({refused})"
    return "no attention was found: no call of it, and no softmax over positions"
