"""What the output makes of one token: replace it, and see what changes elsewhere."""

import math
from dataclasses import dataclass
from functools import partial
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
from seqprobe.estimators.decay import last_crossings
from seqprobe.estimators.grid import around
from seqprobe.estimators.spread import distance_of
from seqprobe.probes.evidence.changes import KL, LOSS, TOP
from seqprobe.probes.evidence.on_grid import grid_metrics, grid_rows, grid_tables
from seqprobe.probes.evidence.over_sequences import columns, estimated, estimated_mean
from seqprobe.probes.evidence.replaced import NEAR, Replaced, replaced

HORIZON_BITS = 0.01


@dataclass(frozen=True)
class Position(Probe):
    """KL divergence and change of loss at t when the token at t-k is drawn anew."""

    id: ClassVar[str] = "position"
    passes: ClassVar[float] = 6.0
    title: ClassVar[str] = "Use of the past"
    question: ClassVar[str] = (
        "How much does the prediction change when a token k steps back is replaced?"
    )
    method: ClassVar[str] = (
        "One token per run is replaced by another one, drawn by how often each occurs in the data; "
        "effects count as much as a free draw would change the token. The KL divergence from the "
        "plain to the edited prediction, the change of the loss on the true next token, and "
        "whether another token became the likeliest are averaged over sequences and places. By "
        "place: the effect on the next predictions, and on the last ones of the sequence. In "
        "models that look ahead, also the effect on predictions k steps before the token: all that "
        "is named `ahead`; what bears no such name is about the past."
    )
    reading: ClassVar[str] = (
        f"Where the curve falls below {HORIZON_BITS} bits, single tokens no longer matter to the "
        "prediction. A negative change of loss means that the prediction improved. The middle sags "
        "where the last predictions use it less than both ends of the sequence. Steps of patches "
        "(`grid=`) run along the raster, where the next row is far away. Distance on the image is "
        "in `position-grid` and `grid_mean_distance`: Euclidean, in patches, in all directions."
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
        return Needs(stream="data", rerun=True)

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
            **_ahead(found),
            **_on_grid(found, observation),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        null = Null("the same tokens put back", float(evidence["null"].mean()))
        metrics = _metrics(evidence["kl"], self.distance, null, self.seed)
        metrics |= _thirds(evidence["last"], null, self.seed)
        tables = [_by_distance(evidence, self.seed), _by_position(evidence, self.seed)]
        if "kl_ahead" in evidence:
            ahead = _metrics(evidence["kl_ahead"], self.distance, null, self.seed)
            metrics |= {f"{name}_ahead": each for name, each in ahead.items()}
            tables.append(_by_distance_ahead(evidence, self.seed))
        metrics |= grid_metrics(evidence, "the same use everywhere", self.seed)
        tables += grid_tables(self.id, evidence, "kl_bits", self.seed)
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="horizon",
            series=tuple(tables),
        )


def _ahead(found: Replaced) -> Evidence:
    """Of predictions before the tokens, in models that look ahead."""
    ahead = found.ahead
    return {} if ahead is None else {"kl_ahead": ahead[..., KL], "top_ahead": ahead[..., TOP]}


def _on_grid(found: Replaced, observation: Observation) -> Evidence:
    """By distance on the image, in all directions."""
    if observation.grid is None:
        return {}
    effects = around(found.effects[..., KL], found.before[..., KL], found.steps)
    return grid_rows(effects, found.steps, observation.grid)


def _metrics(
    kl: Float[np.ndarray, "sequences distances"], distance: int, null: Null, seed: int
) -> dict[str, Estimate]:
    longest = kl.shape[1] - 1
    far = (
        f"one token still moves the prediction by {HORIZON_BITS} bits at {longest} steps, the "
        "longest measured"
    )
    mass90, nowhere = partial(distance_of, share=0.9), "nothing at any distance has influence"
    metrics = {
        "horizon": estimated(
            kl, _horizon, "steps", null, seed=seed, beyond=far, longest=float(longest)
        ),
        "mass90": estimated(kl, mass90, "steps", null, seed=seed, beyond=nowhere),
    }
    metrics["at_distance"] = (
        estimated_mean(kl[:, distance], "bits", null, seed=seed)
        if distance <= longest
        else Estimate.missing("bits", f"distance {distance} was not measured; {longest} was")
    )
    return metrics


def _thirds(
    last: Float[np.ndarray, "sequences places"], null: Null, seed: int
) -> dict[str, Estimate]:
    """How much the last predictions change with a token at either end, and in the middle."""
    parts = {"first_bits": _first, "middle_bits": _middle, "last_bits": _last, "middle_sag": _sag}
    return {name: estimated(last, part, "bits", null, seed=seed) for name, part in parts.items()}


def _first(rows: Float[np.ndarray, "rows places"]) -> Float[np.ndarray, " rows"]:
    """The first eighth of the sequence."""
    mean: np.ndarray = rows[..., : rows.shape[-1] // 8].mean(-1)
    return mean


def _middle(rows: Float[np.ndarray, "rows places"]) -> Float[np.ndarray, " rows"]:
    """The middle half."""
    quarter = rows.shape[-1] // 4
    mean: np.ndarray = rows[..., quarter:-quarter].mean(-1)
    return mean


def _last(rows: Float[np.ndarray, "rows places"]) -> Float[np.ndarray, " rows"]:
    """The last eighth, just before the predictions."""
    return _first(rows[..., ::-1])


def _sag(rows: Float[np.ndarray, "rows places"]) -> Float[np.ndarray, " rows"]:
    """How far the middle lies below both ends; negative where use only fades with distance."""
    lower: np.ndarray = np.minimum(_first(rows), _last(rows)) - _middle(rows)
    return lower


def _horizon(curves: Float[np.ndarray, "rows distances"]) -> Float[np.ndarray, " rows"]:
    """The distance beyond which no influence above the threshold is found."""
    with np.errstate(divide="ignore"):
        return last_crossings(np.log(np.maximum(curves, 0.0)), math.log(HORIZON_BITS))


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    past = _sentence(metrics, distance)
    if "horizon_ahead" not in metrics:
        return past
    ahead = {name: metrics[f"{name}_ahead"] for name in ("horizon", "at_distance")}
    return f"{past} Ahead: {_sentence(ahead, distance, 'after', 'earlier')}"


def _sentence(
    metrics: dict[str, Estimate], distance: int, side: str = "before", when: str = "later"
) -> str:
    """`side` is where tokens stand, `when` the predictions that they move."""
    horizon, there = metrics["horizon"], metrics["at_distance"]
    if horizon.value is None:
        return f"{horizon.reason[0].upper()}{horizon.reason[1:]}."
    if horizon.value == 0:
        return f"No token {side} the present one moves the prediction."
    at = (
        f" At distance {distance} it moves it by {there.value:.2g} bits."
        if there.value is not None
        else ""
    )
    return (
        f"One replaced token moves the prediction by {HORIZON_BITS} bits or more "
        f"up to {horizon.value:.0f} steps {when}.{at}"
    )


def _by_distance(evidence: Evidence, seed: int) -> Series:
    count, distances = evidence["kl"].shape
    table: dict[str, object] = {
        "distance": range(distances),
        **columns(evidence["kl"], "kl_bits", "", seed=seed),
        **columns(evidence["loss"], "loss_bits", "loss_", seed=seed),
        "top_changed": evidence["top"].mean(0),
        "n": [count] * distances,
    }
    return Series.of("position", table, {"distance": "steps"})


def _by_distance_ahead(evidence: Evidence, seed: int) -> Series:
    count, distances = evidence["kl_ahead"].shape
    table: dict[str, object] = {
        "distance": range(distances),
        **columns(evidence["kl_ahead"], "kl_bits", "", seed=seed),
        "top_changed": evidence["top_ahead"].mean(0),
        "n": [count] * distances,
    }
    return Series.of("position-ahead", table, {"distance": "steps"})


def _by_position(evidence: Evidence, seed: int) -> Series:
    """By where the edit is: what it does to the next predictions, and to the last of all."""
    count, places = evidence["near"].shape
    table: dict[str, object] = {
        "position": evidence["places"][0],
        **columns(evidence["near"], "kl_bits", "", seed=seed),
        **columns(evidence["last"], "last_kl_bits", "last_", seed=seed),
        "n": [count] * places,
    }
    return Series.of("position-absolute", table)
