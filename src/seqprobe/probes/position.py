"""What the output makes of one token: replace it, and see what changes later."""

import math
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
    Series,
)
from seqprobe.estimators.bootstrap import curve_interval, number_interval, resampled_means
from seqprobe.estimators.decay import last_crossing
from seqprobe.estimators.spread import distance_of
from seqprobe.probes.effects import KL, LOSS, TOP
from seqprobe.probes.replaced import NEAR, replaced

HORIZON_BITS = 0.01


@dataclass(frozen=True)
class Position(Probe):
    """KL divergence and change of loss at t when the token at t-k is drawn anew."""

    id: ClassVar[str] = "position"
    title: ClassVar[str] = "Use of the past"
    question: ClassVar[str] = (
        "How much does the prediction change when a token k steps back is replaced?"
    )
    method: ClassVar[str] = (
        "One token per run is replaced by another one, drawn by how often each occurs in the data; "
        "effects count as much as a free draw would change the token. The KL divergence from the "
        "plain to the edited prediction, the change of the loss on the true next token, and "
        "whether another token became the likeliest are averaged over sequences and places. By "
        "place: the effect on the next predictions, and on the last ones of the sequence."
    )
    reading: ClassVar[str] = (
        f"Where the curve falls below {HORIZON_BITS} bits, single tokens no longer matter to the "
        "prediction. A negative change of loss means that the prediction improved. The middle sags "
        "where the last predictions use it less than both ends of the sequence."
    )
    limits: ClassVar[str] = (
        "One token at a time: what only several tokens carry together stays unseen. A replaced "
        "token can be unlike anything seen in training, which overstates its effect nearby."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Sharp nearby, fuzzy far away: how neural language models use context "
        "(Khandelwal et al., 2018)",
    )  # fmt: skip

    exact: bool = False

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", rerun=True, tokens=True)

    def observe(self, observation: Observation) -> Evidence:
        found = replaced(observation, self.seed, exact=self.exact)
        by_distance, last = found.by_distance, found.on_the_last
        return {
            "kl": by_distance[..., KL],
            "loss": by_distance[..., LOSS],
            "top": by_distance[..., TOP],
            "near": found.by_place(found.effects[:, :, :NEAR, KL].sum(2)),
            "last": found.by_place(last),
            "places": np.tile(found.places, (len(last), 1)),
            "null": found.null,
        }

    def measure(self, evidence: Evidence) -> Measurement:
        null = Null("the same tokens put back", float(evidence["null"].mean()))
        metrics = _metrics(evidence["kl"], self.distance, null, self.seed)
        metrics |= _thirds(evidence["last"], null, self.seed)
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="horizon",
            series=(_by_distance(evidence, self.seed), _by_position(evidence, self.seed)),
        )


def _metrics(
    kl: Float[np.ndarray, "sequences distances"], distance: int, null: Null, seed: int
) -> dict[str, Estimate]:
    n, window = kl.shape
    replicates = resampled_means(kl, seed)
    far = (
        f"one token still moves the prediction by {HORIZON_BITS} bits at {window - 1} steps, "
        "the longest measured"
    )

    def sampled(statistic: Callable[[np.ndarray], float], unit: str, beyond: str = "") -> Estimate:
        interval = number_interval(np.array([statistic(curve) for curve in replicates]), n)
        return Estimate.sampled(
            statistic(kl.mean(0)), unit, interval, n=n, null=null, beyond=beyond,
            longest=float(window - 1) if beyond == far else None,
        )  # fmt: skip

    metrics = {
        "horizon": sampled(_horizon, "steps", far),
        "mass90": sampled(
            lambda curve: distance_of(curve[None], 0.9).item(),
            "steps",
            "nothing at any distance has influence",
        ),
    }
    metrics["at_distance"] = (
        sampled(lambda curve: float(curve[distance]), "bits")
        if distance < window
        else Estimate.missing("bits", f"distance {distance} was not measured; {window - 1} was")
    )
    return metrics


def _thirds(
    last: Float[np.ndarray, "sequences places"], null: Null, seed: int
) -> dict[str, Estimate]:
    """How much the last predictions change with a token at either end, and in the middle."""
    n, replicates = len(last), resampled_means(last, seed)
    parts = {"first_bits": _first, "middle_bits": _middle, "last_bits": _last, "middle_sag": _sag}
    return {
        name: Estimate.sampled(
            part(last.mean(0, keepdims=True)).item(),
            "bits",
            number_interval(part(replicates), n),
            n=n,
            null=null,
        )
        for name, part in parts.items()
    }


def _first(rows: Float[np.ndarray, "*some places"]) -> Float[np.ndarray, "*some"]:
    """The first eighth of the sequence."""
    mean: np.ndarray = rows[..., : rows.shape[-1] // 8].mean(-1)
    return mean


def _middle(rows: Float[np.ndarray, "*some places"]) -> Float[np.ndarray, "*some"]:
    """The middle half."""
    quarter = rows.shape[-1] // 4
    mean: np.ndarray = rows[..., quarter:-quarter].mean(-1)
    return mean


def _last(rows: Float[np.ndarray, "*some places"]) -> Float[np.ndarray, "*some"]:
    """The last eighth, just before the predictions."""
    return _first(rows[..., ::-1])


def _sag(rows: Float[np.ndarray, "*some places"]) -> Float[np.ndarray, "*some"]:
    """How far the middle lies below both ends; negative where use only fades with distance."""
    lower: np.ndarray = np.minimum(_first(rows), _last(rows)) - _middle(rows)
    return lower


def _horizon(curve: Float[np.ndarray, " distances"]) -> float:
    """The distance beyond which no influence above the threshold is found."""
    with np.errstate(divide="ignore"):
        return last_crossing(np.log(np.maximum(curve, 0.0)), math.log(HORIZON_BITS))


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    horizon, there = metrics["horizon"], metrics["at_distance"]
    if horizon.value is None:
        return f"{horizon.reason[0].upper()}{horizon.reason[1:]}."
    if horizon.value == 0:
        return "No token before the present one moves the prediction."
    at = (
        f" At distance {distance} it moves it by {there.value:.2g} bits."
        if there.value is not None
        else ""
    )
    return (
        f"One replaced token moves the prediction by {HORIZON_BITS} bits or more "
        f"up to {horizon.value:.0f} steps later.{at}"
    )


def _by_distance(evidence: Evidence, seed: int) -> Series:
    kl, loss = evidence["kl"], evidence["loss"]
    columns: dict[str, object] = {"distance": range(kl.shape[1])}
    for name, rows, prefix in (("kl_bits", kl, ""), ("loss_bits", loss, "loss_")):
        low, high = curve_interval(resampled_means(rows, seed), len(rows))
        columns |= {name: rows.mean(0), f"{prefix}low": low, f"{prefix}high": high}
    columns |= {"top_changed": evidence["top"].mean(0), "n": [len(kl)] * kl.shape[1]}
    return Series.of("position", columns, {"distance": "steps"})


def _by_position(evidence: Evidence, seed: int) -> Series:
    """By where the edit is: what it does to the next predictions, and to the last of all."""
    columns: dict[str, object] = {"position": evidence["places"][0]}
    for name, prefix in (("near", ""), ("last", "last_")):
        rows = evidence[name]
        low, high = curve_interval(resampled_means(rows, seed), len(rows))
        columns |= {f"{prefix}kl_bits": rows.mean(0), f"{prefix}low": low, f"{prefix}high": high}
    columns["n"] = [len(evidence["near"])] * evidence["near"].shape[1]
    return Series.of("position-absolute", columns)
