"""What heads do in a training loop's own forwards: how spread, how far, and at the first token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Series,
)
from seqprobe.errors import NotApplicable
from seqprobe.estimators.attention_statistics import uniform_attention
from seqprobe.estimators.head_rows import QUERIES
from seqprobe.probes.evidence.head_tables import number_in_layer
from seqprobe.probes.evidence.heads import SINK, mean_of_heads, nothing_read, sink_rate
from seqprobe.probes.evidence.over_sequences import estimated

KEPT = ("entropy_ratio", "distance", "first", "ahead", "difference", "layer", "sites")
UNITS = {"mean_entropy_ratio": "", "lowest_entropy_ratio": "", "mean_distance": "steps",
         "sink_rate": ""}  # fmt: skip
UNLIKE = "forwards in which other modules attended than in the first one were left out"
UNCHECKED = (
    "weights are those before dropout; of fused calls they are computed from queries and keys, and "
    "dropout leaves no output to hold them against"
)


@dataclass(frozen=True)
class Heads(Probe):
    """Statistics of every head in the forwards that train the model."""

    id: ClassVar[str] = "heads"
    title: ClassVar[str] = "Heads in training"
    question: ClassVar[str] = "How spread is attention while the model trains, and how far back?"
    method: ClassVar[str] = (
        f"Calls of attention are read in the loop's own forwards, {QUERIES} queries of every "
        "sequence. Entropy is relative to equal weights on all keys that a query may see; a sink "
        f"is a head with more than {SINK:g} of its weight on the first token."
    )
    reading: ClassVar[str] = (
        "A mean entropy that falls towards zero is attention that sees single keys only; training "
        "is then often unstable. One head with a low entropy is nothing unusual."
    )
    limits: ClassVar[str] = (
        "Weight is not influence. Weights are those before dropout. A batch of training differs "
        "from the next one: curves over steps scatter with the data."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Stabilizing transformer training by preventing attention entropy collapse "
        "(Zhai et al., 2023)",
        "When attention sink emerges in language models (Gu et al., 2024)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="loop", attention=True)

    def observe(self, observation: Observation) -> Evidence:
        rows = observation.heads
        if not rows:
            raise NotApplicable(observation.unseen.get("heads", nothing_read("")))
        if "layer" not in rows:
            return {"refused": rows["refused"]}
        if not self._like_the_first(rows):
            return {"refused": np.full(len(rows["refused"]), UNLIKE)}
        equal = uniform_attention(
            int(rows["time"][0]), rows["edges"][0], causal=not rows["ahead"].any(), queries=QUERIES
        )
        return {
            **{name: rows[name] for name in KEPT},
            "refused": rows["refused"],
            "equal": np.tile([equal.distance, equal.first], (len(rows["refused"]), 1)),
        }

    def _like_the_first(self, rows: Evidence) -> bool:
        """Whether the same modules attended, with as many heads."""
        first = next((seen for seen in self.evidence if "layer" in seen), None)
        return first is None or all(
            np.array_equal(first[name][0], rows[name][0]) for name in ("layer", "sites")
        )

    def measure(self, evidence: Evidence) -> Measurement:
        warnings = tuple(why for why in dict.fromkeys(evidence["refused"].tolist()) if why)
        if "layer" not in evidence:
            because = nothing_read("; ".join(warnings))
            missing = {name: Estimate.missing(unit, because) for name, unit in UNITS.items()}
            return Measurement(f"Not measured: {because}.", missing, "mean_entropy_ratio")
        if np.isnan(evidence["difference"]).any():
            warnings = (*warnings, UNCHECKED)
        metrics = _metrics(evidence, self.seed)
        return Measurement(
            headline=_headline(metrics, evidence),
            metrics=metrics,
            key="mean_entropy_ratio",
            series=(_table(evidence),),
            warnings=warnings,
        )


def _metrics(evidence: Evidence, seed: int) -> dict[str, Estimate]:
    away, first = evidence["equal"].mean(0)
    entropy, equal = evidence["entropy_ratio"], "equal weights"
    return {
        "mean_entropy_ratio": estimated(entropy, mean_of_heads, "", Null(equal, 1.0), seed=seed),
        "lowest_entropy_ratio": estimated(entropy, _lowest, "", Null(equal, 1.0), seed=seed),
        "mean_distance": estimated(
            evidence["distance"], mean_of_heads, "steps", Null(equal, float(away)), seed=seed
        ),
        "sink_rate": estimated(
            evidence["first"], sink_rate, "", Null(equal, float(first > SINK)), seed=seed
        ),
    }


def _lowest(heads: Float[np.ndarray, "some heads"]) -> Float[np.ndarray, " some"]:
    found: np.ndarray = heads.min(-1)
    return found


def _headline(metrics: dict[str, Estimate], evidence: Evidence) -> str:
    entropy, layer = metrics["mean_entropy_ratio"], evidence["layer"][0]
    heads = f"{len(layer)} heads in {layer.max() + 1} layers"
    if entropy.value is None:
        return f"{heads}; their entropy is not known: {entropy.reason}."
    return (
        f"The entropy of {heads} is {entropy.value:.0%} of that of equal weights; they look "
        f"{metrics['mean_distance'].value:.1f} steps back on average."
    )


def _table(evidence: Evidence) -> Series:
    """A row for each head."""
    layer = evidence["layer"][0]
    table = {
        "layer": layer,
        "head": number_in_layer(layer),
        "site": evidence["sites"][0][layer],
        "entropy_ratio": evidence["entropy_ratio"].mean(0),
        "mean_distance": evidence["distance"].mean(0),
        "first": evidence["first"].mean(0),
    }
    return Series.of("heads", table, {"mean_distance": "steps"})
