"""What the output makes of one token: replace it, and see what changes later."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

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

PLACES = 16
NEAR = 8
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
        "plain to the edited prediction, and the change of the loss on the true next token, are "
        "averaged over sequences and places."
    )
    reading: ClassVar[str] = (
        f"Where the curve falls below {HORIZON_BITS} bits, single tokens no longer matter to the "
        "prediction. A negative change of loss means that the prediction improved."
    )
    limits: ClassVar[str] = (
        "One token at a time: what only several tokens carry together stays unseen. A replaced "
        "token can be unlike anything seen in training, which overstates its effect nearby."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Sharp nearby, fuzzy far away: how neural language models use context "
        "(Khandelwal et al., 2018)",
    )  # fmt: skip

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", rerun=True, tokens=True)

    def observe(self, observation: Observation) -> Evidence:
        assert observation.rerun is not None
        time = observation.inputs.shape[1]
        window, width = time // 2, (time - NEAR) // PLACES
        outputs = observation.rerun(observation.inputs)
        plain = _log_probabilities(outputs)
        again = _log_probabilities(observation.rerun(observation.inputs))
        starts = [place * width for place in range(PLACES)]
        effects = [self._effect(observation, plain, start, width) for start in starts]
        early = [
            effect
            for start, effect in zip(starts, effects, strict=True)
            if start + width + window <= time
        ]
        return {
            "kl": np.mean([kl[:, :window] for kl, _ in early], axis=0),
            "loss": np.mean([loss[:, :window] for _, loss in early], axis=0),
            "near": np.stack([kl[:, :NEAR].sum(1) for kl, _ in effects], axis=1),
            "places": np.tile(starts, (len(outputs), 1)),
            "null": _kl_bits(plain, again).mean(1).cpu().numpy(),
        }

    def _effect(
        self, observation: Observation, plain: Tensor, start: int, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """KL and change of loss in bits by (sequence, distance), after one edit in each sequence.

        The edit falls on a random step in [start, start + width). Distances that the sequence is
        too short for are NaN.
        """
        tokens, rerun = observation.inputs, observation.rerun
        assert rerun is not None
        assert observation.frequencies is not None
        generators = [np.random.default_rng((self.seed, n, start)) for n in observation.sequences]
        steps = torch.tensor([start + int(g.integers(width)) for g in generators])
        edited, weights = _replaced(tokens, steps, observation.frequencies, generators)
        changed = _log_probabilities(rerun(edited))
        kl = _kl_bits(plain, changed).cpu()
        loss = _next_token_bits(changed, tokens).cpu() - _next_token_bits(plain, tokens).cpu()
        kl_after, loss_after = (
            _from_step(effect, steps) * weights[:, None] for effect in (kl, loss)
        )
        return kl_after.numpy(), loss_after.numpy()

    def measure(self, evidence: Evidence) -> Measurement:
        kl, loss = evidence["kl"], evidence["loss"]
        null = Null("the same tokens put back", float(evidence["null"].mean()))
        metrics = _metrics(kl, self.distance, null, self.seed)
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="horizon",
            series=(_by_distance(kl, loss, self.seed), _by_position(evidence, self.seed)),
        )


def _replaced(
    tokens: Int[Tensor, "batch time"],
    steps: Int[Tensor, " batch"],
    frequencies: Float[Tensor, " vocab"],
    generators: list[np.random.Generator],
) -> tuple[Int[Tensor, "batch time"], Float[Tensor, " batch"]]:
    """Another token in one place of each row, and how often a free draw would be another one.

    Drawing only other tokens and weighing by that chance has the mean of a free draw, with less
    variance.
    """
    edited, weights = tokens.clone(), torch.empty(len(tokens), dtype=torch.float64)
    for row, (step, generator) in enumerate(zip(steps.tolist(), generators, strict=True)):
        chances = frequencies.double().numpy().copy()
        present = int(tokens[row, step])
        weights[row] = 1 - chances[present] / chances.sum()
        chances[present] = 0.0
        edited[row, step] = int(generator.choice(len(chances), p=chances / chances.sum()))
    return edited, weights


def _log_probabilities(outputs: Float[Tensor, "batch time _"]) -> Float[Tensor, "batch time _"]:
    return outputs.double().log_softmax(-1)


def _kl_bits(
    plain: Float[Tensor, "batch time classes"], changed: Float[Tensor, "batch time classes"]
) -> Float[Tensor, "batch time"]:
    pieces = torch.where(plain > -math.inf, plain.exp() * (plain - changed), 0.0)
    return pieces.sum(-1).clamp(min=0) / math.log(2)


def _next_token_bits(
    log_probabilities: Float[Tensor, "batch time classes"], tokens: Int[Tensor, "batch time"]
) -> Float[Tensor, "batch time"]:
    """The loss of each prediction; NaN at the last step, whose next token is not known."""
    told = log_probabilities[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return F.pad(-told / math.log(2), (0, 1), value=math.nan)


def _from_step(
    effect: Float[Tensor, "batch time"], steps: Int[Tensor, " batch"]
) -> Float[Tensor, "batch time"]:
    """Shift each row so that column k holds what happened k steps after its own step."""
    time = effect.shape[1]
    index = steps[:, None] + torch.arange(time)
    return effect.gather(1, index.clamp(max=time - 1)).where(index < time, math.nan)


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
        "mass90": sampled(_mass90, "steps", "nothing at any distance has influence"),
    }
    metrics["at_distance"] = (
        sampled(lambda curve: float(curve[distance]), "bits")
        if distance < window
        else Estimate.missing("bits", f"distance {distance} was not measured; {window - 1} was")
    )
    return metrics


def _horizon(curve: Float[np.ndarray, " distances"]) -> float:
    """The distance beyond which no influence above the threshold is found."""
    with np.errstate(divide="ignore"):
        return last_crossing(np.log(np.maximum(curve, 0.0)), math.log(HORIZON_BITS))


def _mass90(curve: Float[np.ndarray, " distances"]) -> float:
    """The distance within which nine tenths of the influence lie."""
    total = curve.sum()
    return float(np.searchsorted(curve.cumsum(), 0.9 * total)) if total > 0 else math.inf


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


def _by_distance(kl: np.ndarray, loss: np.ndarray, seed: int) -> Series:
    columns: dict[str, object] = {"distance": range(kl.shape[1])}
    for name, rows in (("kl_bits", kl), ("loss_bits", loss)):
        low, high = curve_interval(resampled_means(rows, seed), len(rows))
        short = name.removesuffix("_bits")
        prefix = "" if short == "kl" else f"{short}_"
        columns |= {name: rows.mean(0), f"{prefix}low": low, f"{prefix}high": high}
    columns["n"] = [len(kl)] * kl.shape[1]
    return Series.of("position", columns, {"distance": "steps"})


def _by_position(evidence: Evidence, seed: int) -> Series:
    near = evidence["near"]
    low, high = curve_interval(resampled_means(near, seed), len(near))
    columns = {
        "position": evidence["places"][0],
        "kl_bits": near.mean(0),
        "low": low,
        "high": high,
        "n": [len(near)] * near.shape[1],
    }
    return Series.of("position-absolute", columns)
