"""How the influence of the past is spread over distance: near, far, or evenly."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from seqprobe.contracts import (
    Baseline,
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Series,
)
from seqprobe.estimators.bootstrap import curve_interval, resampled_means
from seqprobe.estimators.spread import distance_of, mean_distance, shares_within
from seqprobe.probes.evidence.changes import KL
from seqprobe.probes.evidence.over_sequences import estimated
from seqprobe.probes.evidence.replaced import replaced

ROWS = 40
NOTHING = "replacing tokens changes no prediction"


@dataclass(frozen=True)
class Locality(Probe):
    """Influence of single tokens, normalised over distance."""

    id: ClassVar[str] = "locality"
    title: ClassVar[str] = "Locality"
    question: ClassVar[str] = "Is what the prediction is made of near or far?"
    method: ClassVar[str] = (
        "The KL divergence of the prediction when one token is replaced, by distance, divided by "
        "its sum over all distances measured: a distribution of influence. "
        "Measured in the same way on independent tokens, and on the model before training: what "
        "the architecture brings along, and what the data ask for."
    )
    reading: ClassVar[str] = (
        "A curve that is at one early belongs to a model that looks at what is near. Where it lies "
        "above that of the untrained model, training brought influence nearer; below, further."
    )
    limits: ClassVar[str] = (
        "Shares of what was measured: influence beyond half of the sequence is not in the sum, so "
        "that a flat influence has its mean in the middle of what was measured. The present token "
        "counts, at distance 0."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Understanding the effective receptive field in deep convolutional neural networks "
        "(Luo et al., 2016)",
    )
    baselines: ClassVar[tuple[Baseline, ...]] = ("untrained", "iid")

    sequences: int = 32

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", rerun=True, sequences=self.sequences)

    def as_baseline(self) -> Probe:
        return replace(self, sequences=8)

    def observe(self, observation: Observation) -> Evidence:
        found = replaced(observation, self.seed)
        return {"kl": found.by_distance[..., KL], "null": found.null}

    def measure(self, evidence: Evidence) -> Measurement:
        kl = evidence["kl"]
        metrics = self._metrics(kl)
        return Measurement(
            headline=_headline(metrics, kl.shape[1] - 1),
            metrics=metrics,
            key="mean_distance",
            series=(_table(kl, self.seed),),
        )

    def _metrics(self, kl: Float[np.ndarray, "sequences distances"]) -> dict[str, Estimate]:
        null = Null("a model that uses the present token only", 0.0)
        within = min(self.distance, kl.shape[1] - 1)
        statistics: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
            "mean_distance": ("steps", mean_distance),
            "median_distance": ("steps", partial(distance_of, share=0.5)),
            "mass90": ("steps", partial(distance_of, share=0.9)),
            "within_distance": ("", lambda curves: shares_within(curves)[:, within]),
        }
        return {
            name: estimated(kl, statistic, unit, null, seed=self.seed, beyond=NOTHING)
            for name, (unit, statistic) in statistics.items()
        }


def _headline(metrics: dict[str, Estimate], longest: int) -> str:
    mean, most = metrics["mean_distance"], metrics["mass90"]
    if mean.value is None or most.value is None:
        return f"No influence to be spread: {mean.reason}."
    if most.value == 0:
        return "Nine tenths of the influence come from the present token."
    return (
        f"Nine tenths of the influence come from the last {most.value:.0f} of {longest} steps; "
        f"on average it comes from {mean.value:.1f} steps back."
    )


def _table(kl: Float[np.ndarray, "sequences distances"], seed: int) -> Series:
    """The share of influence within some distances, denser nearby."""
    last = kl.shape[1] - 1
    distances = np.unique(np.concatenate([[0], np.geomspace(1, last, ROWS).round()])).astype(int)
    low, high = curve_interval(shares_within(resampled_means(kl, seed))[:, distances], len(kl))
    columns = {
        "distance": distances,
        "within": shares_within(kl.mean(0, keepdims=True))[0, distances],
        "low": low,
        "high": high,
        "n": [len(kl)] * len(distances),
    }
    return Series.of("locality", columns, {"distance": "steps"})
