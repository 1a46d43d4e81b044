"""How far apart two positions are in the executed model, and whether anything arrives at all."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from seqprobe.contracts import (
    Costs,
    Estimate,
    Evidence,
    Measurement,
    Mixer,
    Needs,
    Observation,
    Probe,
    Series,
    Trace,
)
from seqprobe.estimators.growth import exponent
from seqprobe.estimators.paths import hop_costs, hops_by_distance, shortest_paths
from seqprobe.probes.evidence.once import costs_of_first

LENGTH, CHANGED, SOURCES = 128, 4, 16
NEAREST, SAME = 4, 1e-3
HANDED_OUT = "_local_scalar_dense"


@dataclass(frozen=True)
class PathLength(Probe):
    """Hops and operators over distance from one traced run; reach by changing one input."""

    id: ClassVar[str] = "path-length"
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Path length and reach"
    question: ClassVar[str] = "How far apart are two positions, and does a change arrive?"
    method: ClassVar[str] = (
        "One sequence passes through the model with fused operators taken apart, and beside every "
        "number goes the shortest path to it from each source position: in operators (arithmetic "
        "counts, moving data does not), and in hops, the steps to a later position. A factor of "
        "exactly zero lets nothing pass. Reach is measured apart from that: one token is "
        "replaced, and outputs are compared bit for bit."
    )
    reading: ClassVar[str] = (
        "A line that rises with distance is a recurrence; a flat one is direct access. Reach ends "
        "where not even the last bit of the output changes, at the precision of this model."
    )
    limits: ClassVar[str] = (
        "Paths belong to the form that was executed: the same recurrence as a parallel scan has "
        "shorter ones. A recurrence of L layers takes a hop per step; its L steps from layer to "
        "layer are counted as operators only. In models that look ahead, hops are composed from "
        "the modules that mix positions, one after the other. A short path is not yet used."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Attention is all you need (Vaswani et al., 2017)",
        "Architectural complexity measures of recurrent neural networks (Zhang et al., 2016)",
    )

    exact: bool = False

    @property
    def needs(self) -> Needs:
        length = max(LENGTH, self.distance + 2)
        return Needs(stream="iid", mixing=True, costs=True, rerun=True, sequences=8, length=length)

    def observe(self, observation: Observation) -> Evidence:
        generators = [self.random(number) for number in observation.sequences]
        reached = _reached(observation, generators)
        costs = costs_of_first(observation)
        if costs is None:
            return {"reached": reached}
        return {"reached": reached, **self._traced(costs, observation)}

    def _traced(self, costs: Costs, observation: Observation) -> Evidence:
        """Of the first sequence: paths do not depend on what is read, apart from exact zeros."""
        time = observation.inputs.shape[1]
        count = time if self.exact else min(SOURCES, time)
        sources = np.linspace(0, time - 1, count).round().astype(int)
        trace = costs.trace(observation.inputs[:1], sources.tolist())
        hops, unknown = by_distance(trace.crossings, sources), ""
        if not observation.causal:
            hops, unknown = _composed(observation.mixers, time)
        return {
            "hops": hops[None],
            "operators": by_distance(trace.operations, sources)[None],
            "unknown": np.array([unknown]),
            "doubts": np.array(["; ".join(_doubts(trace))]),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        hops, operators = evidence["hops"][0], evidence["operators"][0]
        unknown, doubts = str(evidence["unknown"][0]), str(evidence["doubts"][0])
        reached = np.any(evidence["reached"], axis=0)
        metrics = {
            "at_distance": _at_distance(hops, self.distance, "hops", unknown),
            "operators_at_distance": _at_distance(operators, self.distance, "operators"),
            "exponent": _exponent(hops, unknown),
            "operators_exponent": _exponent(operators),
            "reach": _reach(reached),
        }
        columns = {
            "distance": range(len(reached)),
            "hops": _padded(hops, len(reached)),
            "operators": _padded(operators, len(reached)),
            "reached": reached,
        }
        units = {"distance": "steps", "hops": "hops", "operators": "operators"}
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="at_distance",
            series=(Series.of("path-length", columns, units),),
            warnings=(*([doubts] if doubts else []), *_disagreement(hops, operators, reached)),
        )


def by_distance(paths: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The longest of the shortest paths, (target, source), for each distance back."""
    found = np.full(len(paths), -np.inf)
    for column, source in zip(paths.T, sources, strict=True):
        ahead = column[source:].astype(np.float64)
        reachable = np.where(np.isfinite(ahead), ahead, -np.inf)
        found[: len(ahead)] = np.maximum(found[: len(ahead)], reachable)
    return np.where(np.isfinite(found), found, np.inf)


def _doubts(trace: Trace) -> list[str]:
    """What makes the traced paths less than exact."""
    doubts = []
    coarse = [name for name in trace.without_rule if name != HANDED_OUT]
    if coarse:
        doubts.append(
            f"{', '.join(coarse)} taken to read everything: paths may be longer than stated"
        )
    if HANDED_OUT in trace.without_rule:
        doubts.append("the code reads single numbers (.item()): paths through them are missing")
    if trace.difference > SAME:
        doubts.append(f"the traced outputs differ from the plain ones by {trace.difference:.0e}")
    return doubts


def _composed(mixers: tuple[Mixer, ...], time: int) -> tuple[np.ndarray, str]:
    """Hops through one module after the other, and the modules whose inner paths are unknown."""
    if not mixers:
        return np.where(np.arange(time) == 0, 0.0, np.inf), ""
    untold = ("unknown", "state space")
    unknown = [each.path for each in mixers if each.kind in untold or each.holds(mixers)]
    names = [path or "the model's own code" for path in unknown]
    costs = [
        hop_costs(mixer.support.numpy(), step_by_step=mixer.kind == "recurrent") for mixer in mixers
    ]
    return hops_by_distance(shortest_paths(costs)), ", ".join(dict.fromkeys(names))


def _reached(observation: Observation, generators: list[np.random.Generator]) -> np.ndarray:
    """Whether any output changes k steps after a replaced input, by (sequence, k)."""
    assert observation.rerun is not None
    inputs = observation.inputs
    rows, time = inputs.shape[:2]
    plain = observation.rerun(inputs)
    reached = np.zeros((rows, time), dtype=bool)
    for source in range(CHANGED):
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


def _at_distance(paths: np.ndarray, distance: int, unit: str, unknown: str = "") -> Estimate:
    if unknown:
        return Estimate.missing(unit, f"how {unknown} mixes positions is unknown")
    if distance >= len(paths):
        return Estimate.missing(unit, f"distance {distance} was not measured; {len(paths) - 1} was")
    if not np.isfinite(paths[distance]):
        return Estimate.missing(unit, f"there is no path over {distance} steps", exact=True)
    return Estimate(float(paths[distance]), unit, exact=True)


def _exponent(paths: np.ndarray, unknown: str = "") -> Estimate:
    """Slope of log path over log distance: 1 for a recurrence, 0 for direct access."""
    if unknown:
        return Estimate.missing("", f"how {unknown} mixes positions is unknown")
    distance = np.arange(len(paths), dtype=np.float64)
    kept = (distance >= NEAREST) & np.isfinite(paths)
    if kept.sum() < 5:
        return Estimate.missing("", "paths exist over fewer than five distances")
    slope, _, _ = exponent(distance[kept], paths[kept])
    return Estimate(round(slope, 12), "", exact=True)


def _reach(reached: np.ndarray) -> Estimate:
    furthest = int(np.flatnonzero(reached).max(initial=0))
    if furthest == len(reached) - 1:
        because = f"the output still changes at {furthest} steps, the longest measured"
        return Estimate.missing("steps", because, low=float(furthest), exact=True)
    return Estimate(float(furthest), "steps", exact=True)


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    hops, operators, reach = (
        metrics[name] for name in ("at_distance", "operators_at_distance", "reach")
    )
    path = hops.reason
    if hops.value is not None:
        path = f"{hops.value:.0f} hop{'' if hops.value == 1 else 's'} at distance {distance}"
        if operators.value is not None:
            path += f", {operators.value:.0f} operators"
    seen = (
        f"a change arrives up to {reach.value:.0f} steps away"
        if reach.value is not None
        else reach.reason
    )
    return f"{path[0].upper()}{path[1:]}; {seen}."


def _disagreement(hops: np.ndarray, operators: np.ndarray, reached: np.ndarray) -> tuple[str, ...]:
    """A change that arrives where there is no path: one of the two is incomplete."""
    for paths, name in ((operators, "operators"), (hops, "modules that mix positions")):
        beyond = np.flatnonzero(reached[: len(paths)] & ~np.isfinite(paths))
        if len(beyond):
            return (
                f"a change arrives at distance {beyond[0]} although no path of {name} was found",
            )
    return ()
