"""How many hops information needs between two positions, and whether it arrives at all."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.stats import linregress
from torch import Tensor

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Measurement,
    Mixer,
    Needs,
    Observation,
    Probe,
    Series,
)
from seqprobe.estimators.paths import hop_costs, hops_by_distance, shortest_paths

LENGTH = 128
SOURCES = 4


@dataclass(frozen=True)
class PathLength(Probe):
    """Hops over distance from the modules that mix positions; reach by changing one input."""

    id: ClassVar[str] = "path-length"
    title: ClassVar[str] = "Path length and reach"
    question: ClassVar[str] = "How many hops lie between two positions, and does a change arrive?"
    method: ClassVar[str] = (
        "Modules that mix positions are found by running each one again with one position changed; "
        "shortest paths are composed through them in the order in which they run. A recurrence "
        "takes one hop per step, attention and convolution one hop to whatever they see. Reach is "
        "measured apart from that: one token is replaced, and outputs are compared bit for bit."
    )
    reading: ClassVar[str] = (
        "A line that rises with distance is a recurrence; a flat one is direct access. Reach ends "
        "where not even the last bit of the output changes, at the precision of this model."
    )
    limits: ClassVar[str] = (
        "Hops count crossings between positions, not operations. Modules are taken as if one "
        "followed the other: parallel branches may be longer than stated. A short path does not "
        "mean that it is used."
    )
    references: ClassVar[tuple[str, ...]] = ("Attention is all you need (Vaswani et al., 2017)",)

    @property
    def needs(self) -> Needs:
        length = max(LENGTH, self.distance + 2)
        return Needs(stream="iid", mixing=True, rerun=True, sequences=8, length=length)

    def observe(self, observation: Observation) -> Evidence:
        rows, time = len(observation.sequences), observation.inputs.shape[1]
        hops, unknown = _hops(observation.mixers, time)
        return {
            "reached": _reached(observation, [self.random(n) for n in observation.sequences]),
            "hops": np.tile(hops, (rows, 1)),
            "unknown": np.array([unknown] * rows),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        hops, unknown = evidence["hops"][0], str(evidence["unknown"][0])
        reached = np.any(evidence["reached"], axis=0)
        metrics = {
            "at_distance": _at_distance(hops, self.distance, unknown),
            "exponent": _exponent(hops, unknown),
            "reach": _reach(reached),
        }
        columns = {
            "distance": range(len(reached)),
            "hops": _padded(hops, len(reached)),
            "reached": reached,
        }
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="at_distance",
            series=(Series.of("path-length", columns, {"distance": "steps", "hops": "hops"}),),
            warnings=_disagreement(hops, reached),
        )


def _hops(mixers: tuple[Mixer, ...], time: int) -> tuple[np.ndarray, str]:
    """Hops by distance, and the modules whose inner paths are unknown."""
    if not mixers:
        return np.where(np.arange(time) == 0, 0.0, np.inf), ""
    names = [mixer.path or "the model's own code" for mixer in mixers if mixer.kind == "unknown"]
    unknown = ", ".join(dict.fromkeys(names))
    costs = [
        hop_costs(mixer.support.numpy(), step_by_step=mixer.kind == "recurrent") for mixer in mixers
    ]
    return hops_by_distance(shortest_paths(costs)), unknown


def _reached(observation: Observation, generators: list[np.random.Generator]) -> np.ndarray:
    """Whether any output changes k steps after a replaced input, by (sequence, k)."""
    assert observation.rerun is not None
    inputs = observation.inputs
    rows, time = inputs.shape[:2]
    plain = observation.rerun(inputs)
    reached = np.zeros((rows, time), dtype=bool)
    for source in range(SOURCES):
        steps = [0 if source == 0 else int(g.integers(time)) for g in generators]
        edited = _edited(observation, steps, generators)
        changed = (observation.rerun(edited) != plain).any(-1).cpu().numpy()
        for row, step in enumerate(steps):
            reached[row, : time - step] |= changed[row, step:]
    return reached


def _edited(
    observation: Observation, steps: list[int], generators: list[np.random.Generator]
) -> Tensor:
    """The inputs with one other symbol, or other real values, in each sequence."""
    edited = observation.inputs.clone()
    for row, (step, generator) in enumerate(zip(steps, generators, strict=True)):
        if observation.alphabet is None:
            noise = torch.from_numpy(generator.standard_normal(edited.shape[2:]))
            edited[row, step] += noise.to(edited)
        else:
            others = observation.alphabet[observation.alphabet != int(edited[row, step])]
            edited[row, step] = others[int(generator.integers(len(others)))]
    return edited


def _padded(hops: np.ndarray, length: int) -> np.ndarray:
    """As long as the other columns; empty where there is no path or none was measured."""
    padded = np.full(length, np.nan)
    padded[: len(hops)] = np.where(np.isfinite(hops), hops, np.nan)[:length]
    return padded


def _at_distance(hops: np.ndarray, distance: int, unknown: str) -> Estimate:
    if unknown:
        return Estimate.missing("hops", f"how {unknown} mixes positions is unknown")
    if distance >= len(hops):
        return Estimate.missing(
            "hops", f"distance {distance} was not measured; {len(hops) - 1} was"
        )
    if not np.isfinite(hops[distance]):
        return Estimate.missing("hops", f"there is no path over {distance} steps", exact=True)
    return Estimate(float(hops[distance]), "hops", exact=True)


def _exponent(hops: np.ndarray, unknown: str) -> Estimate:
    """Slope of log hops over log distance: 1 for a recurrence, 0 for direct access."""
    if unknown:
        return Estimate.missing("", f"how {unknown} mixes positions is unknown")
    distance = np.arange(len(hops))
    kept = (distance >= 4) & np.isfinite(hops)
    if kept.sum() < 5:
        return Estimate.missing("", "paths exist over fewer than five distances")
    slope = linregress(np.log(distance[kept]), np.log(hops[kept])).slope
    return Estimate(round(float(slope), 12), "", exact=True)


def _reach(reached: np.ndarray) -> Estimate:
    furthest = int(np.flatnonzero(reached).max(initial=0))
    if furthest == len(reached) - 1:
        because = f"the output still changes at {furthest} steps, the longest measured"
        return Estimate.missing("steps", because, low=float(furthest), exact=True)
    return Estimate(float(furthest), "steps", exact=True)


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    hops, reach = metrics["at_distance"], metrics["reach"]
    path = (
        f"{hops.value:.0f} hop{'' if hops.value == 1 else 's'} at distance {distance}"
        if hops.value is not None
        else hops.reason
    )
    seen = (
        f"a change arrives up to {reach.value:.0f} steps away"
        if reach.value is not None
        else reach.reason
    )
    return f"{path[0].upper()}{path[1:]}; {seen}."


def _disagreement(hops: np.ndarray, reached: np.ndarray) -> tuple[str, ...]:
    """A change that arrives where there is no path: the module graph is incomplete."""
    beyond = np.flatnonzero(reached[: len(hops)] & ~np.isfinite(hops))
    if not len(beyond):
        return ()
    return (
        f"a change arrives at distance {beyond[0]} although no path was found: "
        "some code outside the recognised modules mixes positions",
    )
