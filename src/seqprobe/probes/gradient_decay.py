"""How the gradient of outputs and states fades with distance to the input."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

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
from seqprobe.estimators.decay import Fit, first_crossing, fit_decay, last_crossing

TARGETS, PROJECTIONS = 2, 2
HORIZON = 1e-3


@dataclass(frozen=True)
class GradientDecay(Probe):
    """||d y_t / d e_{t-k}|| over the distance k, relative to k = 0."""

    id: ClassVar[str] = "gradient-decay"
    title: ClassVar[str] = "Gradient over distance"
    question: ClassVar[str] = "How much could the output change with an input k steps back?"
    method: ClassVar[str] = (
        "The Jacobian of the output, and of every layer's state, at randomly chosen steps against "
        "the input embeddings k steps earlier; Frobenius norms by random +-1 projections, root "
        "mean square over sequences, divided by the value at distance 0."
    )
    reading: ClassVar[str] = (
        "A straight line on this logarithmic axis is exponential decay. Below the thin line "
        "(0.001) training gets almost no signal from that far back. A gradient that arrives is "
        "necessary for learning a dependency, not sufficient."
    )
    limits: ClassVar[str] = (
        "Sensitivity, not use: a saturated unit can have no gradient and still matter. Averages "
        "over the sequences that were fed. The residual connection dominates distance 0 in "
        "attention models, which lowers all their relative values."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Learning long-term dependencies with gradient descent is difficult (Bengio et al., 1994)",
        "On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
        "A stochastic estimator of the trace of the influence matrix (Hutchinson, 1989)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", states=True, gradients=True)

    def observe(self, observation: Observation) -> Evidence:
        embeddings = observation.embeddings
        assert embeddings is not None
        sites = {"output": observation.outputs, **observation.states}
        window = 3 * embeddings.shape[1] // 4
        squares, future = zip(
            *(self._site(observation, state, embeddings, window) for state in sites.values()),
            strict=True,
        )
        return {
            "sites": np.tile(np.array(list(sites)), (len(squares[0]), 1)),
            "squares": np.stack(squares, axis=1),
            "future": np.stack(future, axis=1),
            "floor": np.full(len(squares[0]), 1e3 * torch.finfo(embeddings.dtype).tiny),
        }

    def _site(
        self, observation: Observation, state: Tensor, embeddings: Tensor, window: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared norms by (sequence, target, distance), and the largest after the target."""
        time, rows = embeddings.shape[1], len(observation.sequences)
        squares = np.zeros((rows, TARGETS, window + 1))
        future = np.zeros(rows)
        generators = [self.random(number) for number in observation.sequences]
        for target in range(TARGETS):
            steps = torch.tensor([int(g.integers(window, time)) for g in generators])
            for _ in range(PROJECTIONS):
                signs = np.stack([g.choice((-1.0, 1.0), state.shape[-1]) for g in generators])
                norms = squared_norms(state, embeddings, steps, torch.from_numpy(signs))
                back = steps[:, None] - torch.arange(window + 1)
                squares[:, target] += norms.gather(1, back).numpy() / PROJECTIONS
                later = torch.arange(time) > steps[:, None]
                future = np.maximum(future, (norms * later).amax(1).numpy())
        return squares, future

    def measure(self, evidence: Evidence) -> Measurement:
        sites = evidence["sites"][0].tolist()
        floor = float(evidence["floor"][0])
        curves = [
            _Curve(site, evidence["squares"][:, index], floor, self.seed)
            for index, site in enumerate(sites)
        ]
        future = float(np.sqrt(evidence["future"][:, 0].mean()))
        metrics = _metrics(curves[0], future, self.distance)
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="horizon",
            series=(Series.stacked(self.id, [_columns(curve) for curve in curves]),),
            warnings=_warnings(curves[0]),
        )


@dataclass(frozen=True)
class _Curve:
    """The norms at one site: squares by (sequence, target, distance)."""

    site: str
    squares: Float[np.ndarray, "sequences targets distances"]
    floor: float
    seed: int

    @property
    def scale(self) -> float:
        """The root-mean-square norm at distance 0."""
        return float(np.sqrt(self.squares[..., 0].mean()))

    @property
    def relative(self) -> Float[np.ndarray, " distances"]:
        """The root-mean-square norm over distance, divided by the one at distance 0."""
        return _relative(self.squares.mean((0, 1)))

    @cached_property
    def replicates(self) -> Float[np.ndarray, "resamples distances"]:
        """The relative curve when sequences are drawn again."""
        return _relative(resampled_means(self.squares.mean(1), self.seed))

    @property
    def geometric(self) -> Float[np.ndarray, " distances"]:
        """The typical sequence rather than the root mean square."""
        with np.errstate(divide="ignore"):
            logs = 0.5 * np.log(self.squares).mean((0, 1))
        return np.exp(logs - logs[0]) if np.isfinite(logs[0]) else np.full_like(logs, np.nan)

    @cached_property
    def fits(self) -> list[Fit]:
        return fit_decay(self.relative, self.floor / self.scale) if self.scale else []

    def sampled(
        self, statistic: Callable[[np.ndarray], float]
    ) -> tuple[float, tuple[float, float] | None]:
        """A number read off the relative curve, and its interval."""
        replicates = np.array([statistic(replicate) for replicate in self.replicates])
        return statistic(self.relative), number_interval(replicates, len(self.squares))


def _relative(squares: Float[np.ndarray, "*some distances"]) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        relative: np.ndarray = np.sqrt(squares / squares[..., :1])
    return relative


def _metrics(curve: _Curve, future: float, distance: int) -> dict[str, Estimate]:
    window = len(curve.relative) - 1
    if not curve.scale:
        because = "the output has no gradient to its own input"
        units = {"half_life": "steps", "horizon": "steps", "at_distance": "", "rate": "nats/step"}
        return {name: Estimate.missing(unit, because) for name, unit in units.items()}
    n = len(curve.squares)
    leak = Null("gradient to inputs after the target", future / curve.scale)
    never = Null("memoryless model", 0.0)
    half_life, about_half = curve.sampled(lambda c: first_crossing(c, 0.5))
    horizon, about_horizon = curve.sampled(lambda c: last_crossing(c, HORIZON))
    metrics = {
        "half_life": Estimate.sampled(
            half_life, "steps", about_half, n=n, null=never, longest=float(window),
            beyond=f"no decay: the gradient does not fall to half within {window} steps",
        ),
        "horizon": Estimate.sampled(
            horizon, "steps", about_horizon, n=n, null=never, longest=float(window),
            beyond=f"the gradient is still above {HORIZON:g} at {window} steps, the longest "
            "measured",
        ),
    }  # fmt: skip
    if distance > window:
        because = f"distance {distance} was not measured; {window} steps were"
        metrics["at_distance"] = Estimate.missing("", because)
    else:
        value, about = curve.sampled(lambda c: float(c[distance]))
        metrics["at_distance"] = Estimate.sampled(value, "", about, n=n, null=leak)
    metrics["rate"] = _rate(curve, n)
    return metrics


def _rate(curve: _Curve, n: int) -> Estimate:
    """Of the exponential law, whether or not it fits best."""
    if not curve.fits:
        return Estimate.missing("nats/step", "fewer than five distances lie above the floor")
    floor = curve.floor / curve.scale

    def rate(relative: np.ndarray) -> float:
        fits = [fit.rate for fit in fit_decay(relative, floor) if fit.law == "exponential"]
        return fits[0] if fits else np.inf

    value, about = curve.sampled(rate)
    return Estimate.sampled(value, "nats/step", about, n=n, null=Null("flat curve", 0.0))


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    horizon, there = metrics["horizon"], metrics["at_distance"]
    if horizon.value is None:
        return horizon.reason[0].upper() + horizon.reason[1:] + "."
    if horizon.value == 0:
        return "No gradient arrives from any input before the present one."
    at = (
        f" At distance {distance} it is {there.value:.1e} of that."
        if there.value is not None
        else ""
    )
    return (
        f"The gradient falls below a thousandth of its value at distance 0 "
        f"after {horizon.value:.0f} steps.{at}"
    )


def _warnings(curve: _Curve) -> tuple[str, ...]:
    if curve.fits and curve.fits[0].law != "exponential":
        best = curve.fits[0]
        return (f"by AICc the curve is {best.law}, not exponential; `rate` describes it poorly",)
    return ()


def _columns(curve: _Curve) -> dict[str, object]:
    low, high = curve_interval(curve.replicates, len(curve.squares))
    return {
        "distance": range(len(curve.relative)),
        "site": curve.site,
        "relative": curve.relative,
        "low": low,
        "high": high,
        "geometric": curve.geometric,
        "fit": curve.fits[0].curve if curve.fits else math.nan,
        "law": curve.fits[0].law if curve.fits else "",
        "n": len(curve.squares),
    }


def squared_norms(
    state: Float[Tensor, "batch time width"],
    embeddings: Float[Tensor, "batch time embedding"],
    steps: Int[Tensor, " batch"],
    signs: Float[Tensor, "batch width"],
) -> Float[Tensor, "batch time"]:
    """||d (v . state_t) / d e_s||^2 for all s, one target t and one projection v per sequence."""
    chosen = state[torch.arange(len(steps)), steps.to(state.device)]
    total = (chosen * signs.to(chosen)).sum()
    if not total.requires_grad:
        return torch.zeros(embeddings.shape[:2], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(total, embeddings, retain_graph=True, allow_unused=True)
    if gradient is None:
        return torch.zeros(embeddings.shape[:2], dtype=torch.float64)
    squared: Tensor = gradient.double().square().sum(-1).cpu()
    return squared
