"""Where attention looks: how spread, how far, at the first token, and back to what it has seen."""

from __future__ import annotations

from collections.abc import Callable
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
)
from seqprobe.errors import NotApplicable
from seqprobe.estimators.attention_statistics import uniform_attention, uniform_rollout_distance
from seqprobe.probes.evidence.head_tables import tables
from seqprobe.probes.evidence.heads import (
    LONGEST,
    SINK,
    head_rows,
    map_rows,
    mean_of_heads,
    nothing_read,
    rollout_rows,
    sink_rate,
)
from seqprobe.probes.evidence.over_sequences import estimated
from seqprobe.probes.evidence.repeated import repeated_rows

SUMS_TO_ONE = 1e-3
TOO_SHORT = "sequences are too short to come twice, or such ones are read in another way"
TOO_LONG = f"sequences are longer than {LONGEST} steps"
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Attention(Probe):
    """Statistics of the weights of every head, and what heads do on repeated sequences."""

    id: ClassVar[str] = "attention"
    passes: ClassVar[float] = 1.5
    title: ClassVar[str] = "Attention"
    question: ClassVar[str] = "Where do the heads look, and do they go back to what they have seen?"
    method: ClassVar[str] = (
        "Every call of attention is read while the model runs. Weights that a fused call does not "
        "return are computed again from its queries and keys, a few rows at a time, and held "
        "against its output. Entropy is relative to equal weights on all keys that a query may "
        "see. A sink is a head with more than "
        f"{SINK:g} of its weight on the first token. On random sequences that come twice, each "
        "with a period of its own, the induction score is the weight on the token after the same "
        "one a period ago, of the head with the most. The rollout multiplies the layers, with "
        "half of each passing by."
    )
    reading: ClassVar[str] = (
        "A bright square under induction goes back to what followed the present token the last "
        "time, which takes a head in an earlier layer that looks at the previous token. Sinks are "
        "common and no defect: such heads do nothing most of the time."
    )
    limits: ClassVar[str] = (
        "Weight is not influence: a key may get weight without moving anything, most of all a "
        "sink, hence the weights by the length of the values. Only attention among the steps of "
        "the sequence is read, not that of an encoder, and no kernels outside PyTorch. Heads that "
        "are merged into the batch are taken to stand beside each other in every sequence."
    )
    references: ClassVar[tuple[str, ...]] = (
        "In-context learning and induction heads (Olsson et al., 2022)",
        "When attention sink emerges in language models (Gu et al., 2024)",
        "Attention is not only a weight (Kobayashi et al., 2020)",
        "Quantifying attention flow in transformers (Abnar and Zuidema, 2020)",
    )

    queries: int | None = None

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", attention=True)

    def observe(self, observation: Observation) -> Evidence:
        rows = head_rows(observation, self.queries)
        if "layer" not in rows:
            raise NotApplicable(nothing_read(str(rows["refused"][0])))
        generators = [self.random(number) for number in observation.sequences]
        sites = rows["sites"][0].tolist()
        return {
            **rows,
            **repeated_rows(observation, generators, sites),
            **rollout_rows(observation, sites),
            **map_rows(observation, sites),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        metrics = _metrics(evidence, self.seed)
        return Measurement(
            headline=_headline(metrics, evidence),
            metrics=metrics,
            key="induction_score",
            series=tables(evidence, self.seed),
            warnings=_warnings(evidence),
        )


def _metrics(evidence: Evidence, seed: int) -> dict[str, Estimate]:
    time, causal = int(evidence["time"][0]), not evidence["ahead"].any()
    equal = uniform_attention(time, evidence["edges"][0], causal=causal)
    sinks = Null("equal weights", float(equal.first > SINK))

    def of_heads(name: str, statistic: Statistic, unit: str, null: Null) -> Estimate:
        return estimated(evidence[name], statistic, unit, null, seed=seed)

    return {
        "sink_rate": of_heads("first", sink_rate, "", sinks),
        "sink_rate_norm_weighted": of_heads("first_by_norm", sink_rate, "", sinks),
        "mean_entropy_ratio": of_heads(
            "entropy_ratio", mean_of_heads, "", Null("equal weights", 1.0)
        ),
        "mean_distance": of_heads(
            "distance", mean_of_heads, "steps", Null("equal weights", equal.distance)
        ),
        **_repeated_metrics(evidence, causal, seed),
        **_rollout_metrics(evidence, time, causal, seed),
        "row_sum_error": _largest(evidence["error"]),
        "recomputation_error": _largest(evidence["difference"]),
    }


def _repeated_metrics(evidence: Evidence, causal: bool, seed: int) -> dict[str, Estimate]:
    """Of the best head for each of the two."""
    if "induction" not in evidence:
        too_short = Estimate.missing("", TOO_SHORT)
        return {"induction_score": too_short, "previous_token_score": too_short}
    shifted = estimated(evidence["shifted"], _best, "", Null("", None), seed=seed)
    elsewhere = Null("another period", shifted.value, shifted.low, shifted.high)
    steps = int(evidence["repeated_time"][0])
    equal = uniform_attention(steps, evidence["edges"][0], causal=causal)
    before = Null("equal weights", equal.previous)
    return {
        "induction_score": estimated(evidence["induction"], _best, "", elsewhere, seed=seed),
        "previous_token_score": estimated(evidence["previous"], _best, "", before, seed=seed),
    }


def _rollout_metrics(evidence: Evidence, time: int, causal: bool, seed: int) -> dict[str, Estimate]:
    """Of all layers together, on the first few sequences."""
    if "rollout_distance" not in evidence:
        too_long = Estimate.missing("steps", TOO_LONG)
        return {"rollout_mean_distance": too_long}
    layers = int(evidence["layer"].max()) + 1
    null = Null("equal weights", uniform_rollout_distance(time, layers, causal=causal))
    rows = evidence["rollout_distance"][:, None]
    return {"rollout_mean_distance": estimated(rows, mean_of_heads, "steps", null, seed=seed)}


def _best(heads: Float[np.ndarray, "some heads"]) -> Float[np.ndarray, " some"]:
    found: np.ndarray = heads.max(-1)
    return found


def _largest(errors: np.ndarray) -> Estimate:
    return Estimate(float(errors.max()), "", n=len(errors), exact=True)


def _headline(metrics: dict[str, Estimate], evidence: Evidence) -> str:
    layer = evidence["layer"][0]
    sinks, induction = metrics["sink_rate"], metrics["induction_score"]
    said = f"{len(layer)} heads in {layer.max() + 1} layers"
    if induction.value is not None:
        best = int(evidence["induction"].mean(0).argmax())
        head = int((layer[:best] == layer[best]).sum())
        said += (
            f"; the best induction score is {induction.value:.2f} (layer {layer[best]}, "
            f"head {head})"
        )
    if sinks.value is not None:
        said += f"; {sinks.value:.0%} of heads are sinks"
    return f"{said}."


def _warnings(evidence: Evidence) -> tuple[str, ...]:
    found = [str(evidence["refused"][0])] if evidence["refused"][0] else []
    off = evidence["error"].max(0) > SUMS_TO_ONE
    sites = dict.fromkeys(evidence["sites"][0][evidence["layer"][0][off]].tolist())
    if sites:
        found.append(
            f"weights of {', '.join(sites)} do not sum to one (off by up to "
            f"{evidence['error'].max():.2g}): entropy and shares are relative to their sum"
        )
    return tuple(found)
