"""How far apart two positions are in the executed model, and whether anything arrives at all."""

from dataclasses import dataclass, replace
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

LENGTH, CHANGED = 128, 4
SOURCES = 2048
"""Of paths that are followed, as many as this over the length: at least four, at most 16."""
NEAREST, SAME = 4, 1e-3
HANDED_OUT = "_local_scalar_dense"


@dataclass(frozen=True)
class PathLength(Probe):
    """Hops and operators over distance from one traced run; reach by changing one input."""

    id: ClassVar[str] = "path-length"
    version: ClassVar[int] = 2
    passes: ClassVar[float] = 2.0
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
        "the modules that mix positions, one after the other; what is named `ahead` is about "
        "inputs after the output, all else about those before it. A short path is not yet used."
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
        back, ahead = _reached(observation, generators)
        reached = {"reached": back} | ({} if observation.causal else {"reached_ahead": ahead})
        costs = costs_of_first(observation)
        if costs is None:
            return reached
        return {**reached, **self._traced(costs, observation)}

    def _traced(self, costs: Costs, observation: Observation) -> Evidence:
        """Of the first sequence: paths do not depend on what is read, apart from exact zeros."""
        time = observation.inputs.shape[1]
        count = time if self.exact else min(max(4, SOURCES // time), 16, time)
        sources = np.linspace(0, time - 1, count).round().astype(int)
        trace = costs.trace(observation.inputs[:1], sources.tolist())
        operators, doubts = by_distance(trace.operations, sources), "; ".join(_doubts(trace))
        found = {"operators": operators[None], "doubts": np.array([doubts])}
        if observation.causal:
            hops = by_distance(trace.crossings, sources)
            return {**found, "hops": hops[None], "unknown": np.array([""])}
        ahead = by_distance(trace.operations[::-1], time - 1 - sources)
        hops, hops_ahead, unknown = _composed(observation.mixers, time)
        if _beyond(hops, operators) or _beyond(hops_ahead, ahead):
            unknown = "the model's own code"
        return {
            **found,
            "hops": hops[None],
            "hops_ahead": hops_ahead[None],
            "operators_ahead": ahead[None],
            "unknown": np.array([unknown]),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        back, doubts = self._measured(evidence, ""), str(evidence["doubts"][0])
        back = replace(back, warnings=(*([doubts] if doubts else []), *back.warnings))
        if "reached_ahead" not in evidence:
            return back
        ahead = self._measured(evidence, "_ahead")
        return replace(
            back,
            headline=f"Back: {back.headline} Ahead: {ahead.headline}",
            metrics={
                **back.metrics,
                **{f"{name}_ahead": each for name, each in ahead.metrics.items()},
            },
            series=(*back.series, replace(ahead.series[0], id=f"{self.id}-ahead")),
            warnings=tuple(dict.fromkeys((*back.warnings, *ahead.warnings))),
        )

    def _measured(self, evidence: Evidence, side: str) -> Measurement:
        """Of one direction; `side` is what the names of its evidence end with."""
        hops, operators = evidence[f"hops{side}"][0], evidence[f"operators{side}"][0]
        unknown, reached = str(evidence["unknown"][0]), np.any(evidence[f"reached{side}"], axis=0)
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
            warnings=_disagreement(hops, operators, reached),
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


def _composed(mixers: tuple[Mixer, ...], time: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Hops back and ahead through one module after the other, and modules with unknown paths."""
    if not mixers:
        none = np.where(np.arange(time) == 0, 0.0, np.inf)
        return none, none, ""
    untold = ("unknown", "state space")
    unknown = [each.path for each in mixers if each.kind in untold or each.holds(mixers)]
    names = [path or "the model's own code" for path in unknown]
    costs = [
        hop_costs(mixer.support.numpy(), step_by_step=mixer.kind == "recurrent") for mixer in mixers
    ]
    paths = shortest_paths(costs)
    both = hops_by_distance(paths), hops_by_distance(paths.T)
    return *both, ", ".join(dict.fromkeys(names))


def _beyond(hops: np.ndarray, operators: np.ndarray) -> bool:
    """Whether modules would lead where no operator does: the model turned their positions round."""
    shared = min(len(hops), len(operators))
    return bool((np.isfinite(hops[:shared]) & ~np.isfinite(operators[:shared])).any())


def _reached(
    observation: Observation, generators: list[np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether any output changes k steps after a replaced input, or before it: (sequence, k)."""
    assert observation.rerun is not None
    inputs = observation.inputs
    rows, time = inputs.shape[:2]
    plain, ends = observation.rerun(inputs), [0] if observation.causal else [0, time - 1]
    reached, ahead = (np.zeros((rows, time), dtype=bool) for _ in range(2))
    for source in range(CHANGED):
        fixed = ends[source] if source < len(ends) else None
        steps = [int(g.integers(time)) if fixed is None else fixed for g in generators]
        edited = _edited(observation, steps, generators)
        changed = (observation.rerun(edited) != plain).any(-1).cpu().numpy()
        for row, step in enumerate(steps):
            reached[row, : time - step] |= changed[row, step:]
            ahead[row, : step + 1] |= changed[row, step::-1]
    return reached, ahead


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
