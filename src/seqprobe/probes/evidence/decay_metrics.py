"""Numbers read off a curve of gradients over distance: half-life, horizon, rates, mean distance."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from seqprobe.contracts import Estimate, Evidence, Null
from seqprobe.estimators.curve import Curves, DecayCurve
from seqprobe.estimators.decay import (
    exponential_rate,
    first_crossings,
    last_crossings,
    steady_rate,
)
from seqprobe.estimators.spread import mean_distance

HORIZON, CLEARLY = 1e-3, 10.0
UNITS = {
    "half_life": "steps",
    "horizon": "steps",
    "at_distance": "",
    "rate": "nats/step",
    "steady_rate": "nats/step",
    "mean_distance": "steps",
}


def half_lives(curves: Curves) -> np.ndarray:
    """Steps from distance 1 in which each curve halves; infinite if it does not."""
    with np.errstate(invalid="ignore"):
        beyond = curves[:, 1:] - curves[:, 1:2]
    return first_crossings(np.nan_to_num(beyond, nan=-np.inf), -math.log(2))


def horizons(curves: Curves) -> np.ndarray:
    """After how many steps each curve stays below a thousandth; infinite if it does not."""
    return last_crossings(curves, math.log(HORIZON))


def half_life(curve: DecayCurve, other: str = "earlier") -> Estimate:
    """A curve that may never halve has none: flat is said by the interval."""
    if not curve.relative[1:2].max() > -math.inf:
        return Estimate.missing("steps", f"no gradient arrives from any {other} input")
    value, about = curve.sampled(half_lives)
    flat = about is not None and not math.isfinite(about.high)
    return Estimate.sampled(
        math.inf if flat else value, "steps", about, n=curve.sequences,
        null=Null("memoryless model", 0.0), longest=float(curve.window - 1),
        beyond=f"no decay: a fall to half within {curve.window - 1} steps is not established",
    )  # fmt: skip


def leak(curve: DecayCurve, evidence: Evidence) -> Null:
    """What comes from inputs after the target; in models that look ahead that is no null."""
    if "ahead" not in evidence or not curve.alive:
        return Null("memoryless model", 0.0)
    largest = float(np.exp(0.5 * evidence["ahead"].max() - curve.scale))
    return Null("gradient to inputs after the target", largest)


def metrics_ahead(curve: DecayCurve, distance: int) -> dict[str, Estimate]:
    """The same of inputs after the target."""
    metrics = metrics_of(curve, Null("memoryless model", 0.0), distance, "later")
    return {f"{name}_ahead": metrics[name] for name in UNITS}


def metrics_of(
    curve: DecayCurve, null: Null, distance: int, other: str = "earlier"
) -> dict[str, Estimate]:
    """Read off one curve; `other` says where its inputs are, `null` belongs to `at_distance`."""
    if not curve.alive:
        because = "the output has no gradient to its own input"
        return {name: Estimate.missing(unit, because) for name, unit in UNITS.items()}
    horizon, about = curve.sampled(horizons)
    mean, around = curve.sampled(_mean_distances)
    return {
        "half_life": half_life(curve, other),
        "horizon": Estimate.sampled(
            horizon, "steps", about, n=curve.sequences, null=Null("memoryless model", 0.0),
            longest=float(curve.window),
            beyond=f"the gradient is still above {HORIZON:g} at {curve.window} steps, the "
            "longest measured",
        ),
        "at_distance": _at(curve, null, distance),
        "rate": _rate(curve, exponential_rate),
        "steady_rate": _rate(curve, steady_rate),
        "mean_distance": Estimate.sampled(
            mean, "steps", around, n=curve.sequences, null=Null("memoryless model", 0.0)
        ),
    }  # fmt: skip


def _mean_distances(logs: Curves) -> np.ndarray:
    """Of the gradient norms, taken as a distribution over distance."""
    return mean_distance(np.exp(logs - logs.max(1, keepdims=True)))


def _at(curve: DecayCurve, null: Null, distance: int) -> Estimate:
    if distance > curve.window:
        because = f"distance {distance} was not measured; {curve.window} steps were"
        return Estimate.missing("", because)
    value, about = curve.sampled(lambda curves: np.exp(curves[:, distance]))
    return Estimate.sampled(value, "", about, n=curve.sequences, null=null)


def _rate(curve: DecayCurve, law: Callable[[Curves, float], np.ndarray]) -> Estimate:
    """Of a law, whether or not it fits best."""
    floor = curve.floor - curve.scale
    value, about = curve.sampled(lambda curves: law(curves, floor))
    if math.isnan(value):
        return Estimate.missing("nats/step", "fewer than five distances lie above the floor")
    null = Null("flat curve", 0.0)
    return Estimate.sampled(value, "nats/step", about, n=curve.sequences, null=null)


def headline(metrics: Mapping[str, Estimate], distance: int) -> str:
    """Back in time; after it ahead, where that was measured."""
    back = _sentence(metrics, distance)
    if "horizon_ahead" not in metrics:
        return back
    ahead = {name: metrics[f"{name}_ahead"] for name in UNITS}
    return f"Back: {back} Ahead: {_sentence(ahead, distance, 'after')}"


def _sentence(metrics: Mapping[str, Estimate], distance: int, side: str = "before") -> str:
    horizon, there = metrics["horizon"], metrics["at_distance"]
    if horizon.value is None:
        return horizon.reason[0].upper() + horizon.reason[1:] + "."
    if horizon.value == 0:
        return f"No gradient arrives from any input {side} the present one."
    at = (
        f" At distance {distance} it is {there.value:.1e} of that."
        if there.value is not None
        else ""
    )
    return (
        f"The typical gradient falls below a thousandth of its value at distance 0 "
        f"after {horizon.value:.0f} steps.{at}"
    )


def warnings_of(curve: DecayCurve) -> tuple[str, ...]:
    """AICc alone often prefers a law with one parameter too many; a clear lead counts."""
    scores = {fit.law: fit.aicc for fit in curve.fits}
    if "exponential" not in scores or scores["exponential"] - min(scores.values()) < CLEARLY:
        return ()
    return (
        f"by AICc the curve follows the law `{curve.fits[0].law}`, not an exponential; "
        "`rate` describes it poorly",
    )
