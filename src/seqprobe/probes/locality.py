"""How the influence of other tokens is spread over distance: near, far, or evenly."""

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
    passes: ClassVar[float] = 6.0
    title: ClassVar[str] = "Locality"
    question: ClassVar[str] = "Is what the prediction is made of near or far?"
    method: ClassVar[str] = (
        "The KL divergence of the prediction when one token is replaced, by distance, divided by "
        "its sum over all distances measured: a distribution of influence. "
        "Measured in the same way on independent tokens, and on the model before training: what "
        "the architecture brings along, and what the data ask for. In models that look ahead, the "
        "influence of tokens ahead of the prediction is spread over its own sum (`ahead`), and "
        "`share_ahead` is its part in the influence of all other tokens."
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
        ahead = {} if found.ahead is None else {"kl_ahead": found.ahead[..., KL]}
        return {"kl": found.by_distance[..., KL], "null": found.null, **ahead}

    def measure(self, evidence: Evidence) -> Measurement:
        kl = evidence["kl"]
        metrics, tables = self._metrics(kl, NOTHING), [_table(kl, self.seed)]
        if "kl_ahead" in evidence:
            metrics = self._metrics(kl, "replacing tokens changes no later prediction")
            ahead = self._metrics(
                evidence["kl_ahead"], "replacing tokens changes no earlier prediction"
            )
            metrics |= {f"{name}_ahead": each for name, each in ahead.items()}
            metrics["share_ahead"] = _share_ahead(kl, evidence["kl_ahead"], self.seed)
            tables.append(replace(_table(evidence["kl_ahead"], self.seed), id="locality-ahead"))
        return Measurement(
            headline=_headline(metrics, kl.shape[1] - 1),
            metrics=metrics,
            key="mean_distance",
            series=tuple(tables),
        )

    def _metrics(
        self, kl: Float[np.ndarray, "sequences distances"], nothing: str
    ) -> dict[str, Estimate]:
        null = Null("a model that uses the present token only", 0.0)
        within = min(self.distance, kl.shape[1] - 1)
        statistics: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
            "mean_distance": ("steps", mean_distance),
            "median_distance": ("steps", partial(distance_of, share=0.5)),
            "mass90": ("steps", partial(distance_of, share=0.9)),
            "within_distance": ("", lambda curves: shares_within(curves)[:, within]),
        }
        return {
            name: estimated(kl, statistic, unit, null, seed=self.seed, beyond=nothing)
            for name, (unit, statistic) in statistics.items()
        }


def _share_ahead(
    back: Float[np.ndarray, "sequences distances"],
    ahead: Float[np.ndarray, "sequences distances"],
    seed: int,
) -> Estimate:
    """Of the influence of all tokens but the present one."""

    def share(sums: np.ndarray) -> np.ndarray:
        total = sums.sum(1)
        nothing = np.full(len(sums), np.inf)
        part: np.ndarray = np.divide(sums[:, 1], total, out=nothing, where=total > 0)
        return part

    sums = np.stack([back[:, 1:].sum(1), ahead[:, 1:].sum(1)], axis=1)
    causal = Null("a model that does not look ahead", 0.0)
    return estimated(sums, share, "", causal, seed=seed, beyond=NOTHING)


def _headline(metrics: dict[str, Estimate], longest: int) -> str:
    past = _sentence(metrics, longest)
    share = metrics.get("share_ahead")
    if share is None:
        return past
    names = ("mean_distance", "mass90")
    ahead = _sentence({name: metrics[f"{name}_ahead"] for name in names}, longest, "next", "ahead")
    both = f"Back: {past} Ahead: {ahead}"
    if share.value is None:
        return both
    return f"{share.value:.0%} of the influence of other tokens comes from ahead. {both}"


def _sentence(
    metrics: dict[str, Estimate], longest: int, side: str = "last", way: str = "back"
) -> str:
    mean, most = metrics["mean_distance"], metrics["mass90"]
    if mean.value is None or most.value is None:
        return f"No influence to be spread: {mean.reason}."
    if most.value == 0:
        return "Nine tenths of the influence come from the present token."
    return (
        f"Nine tenths of the influence come from the {side} {most.value:.0f} of {longest} steps; "
        f"on average it comes from {mean.value:.1f} steps {way}."
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
