"""How the gradient of outputs, losses and states fades with distance to the input."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from seqprobe.contracts import (
    Baseline,
    Estimate,
    Evidence,
    Gradients,
    Interval,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Series,
)
from seqprobe.errors import UsageError
from seqprobe.estimators.curve import Curves, DecayCurve, SquaredNorms
from seqprobe.estimators.decay import (
    exponential_rate,
    first_crossings,
    last_crossings,
    steady_rate,
)
from seqprobe.estimators.spread import mean_distance
from seqprobe.probes.evidence import attribution, gates
from seqprobe.probes.evidence.predicting import why_no_loss

TARGETS, VECTORS, CLOSELY = 4, 2, 32
HORIZON, CLEARLY = 1e-3, 10.0
THIRDS, AHEAD = ("first", "middle"), "ahead"
UNITS = {
    "half_life": "steps",
    "horizon": "steps",
    "at_distance": "",
    "rate": "nats/step",
    "steady_rate": "nats/step",
    "mean_distance": "steps",
}
_LOSS = {"loss": "output"}
Mean = Callable[[SquaredNorms, float, int], DecayCurve]


@dataclass(frozen=True)
class GradientDecay(Probe):
    """||d y_t / d e_{t-k}|| over the distance k, relative to k = 0.

    `precision`: more sequences are asked for until half-life and horizon are known so well.
    `exact`: every direction of a state instead of random ones. `attribution`: a method of captum
    to show beside the gradient. `whole`: every site, on the first 32 sequences, or only the output.
    `targets`: steps of each sequence to look back from.
    """

    id: ClassVar[str] = "gradient-decay"
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Gradient over distance"
    question: ClassVar[str] = "How much could the output change with an input k steps back?"
    method: ClassVar[str] = (
        "The Jacobian of the output, of every layer's state and of the loss at chosen steps "
        "against the input embeddings k steps earlier; Frobenius norms by random +-1 projections "
        "(two per step, or exact), divided by the norm at distance 0. The headline is the "
        "geometric mean over sequences, the typical gradient; the root mean square, which a few "
        "strong gradients dominate, stands beside it. Measured again on the untrained model and "
        "on independent inputs. In models that look ahead, the output also against the inputs k "
        "steps later, from steps as near to the start as the others are to the end: all that is "
        "named `ahead`; what bears no such name looks back."
    )
    reading: ClassVar[str] = (
        "A straight line on this logarithmic axis is exponential decay. Below the thin line "
        "(0.001) training gets almost no signal from that far back. A gradient that arrives is "
        "necessary for learning a dependency, not sufficient."
    )
    limits: ClassVar[str] = (
        "Sensitivity, not use: a saturated unit can have no gradient and still matter. Averages "
        "over the sequences that were fed. The residual connection dominates distance 0 in "
        "attention models, which lowers all their relative values; the half-life is counted from "
        "distance 1 for that reason."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Learning long-term dependencies with gradient descent is difficult (Bengio et al., 1994)",
        "On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
        "A stochastic estimator of the trace of the influence matrix (Hutchinson, 1989)",
    )
    baselines: ClassVar[tuple[Baseline, ...]] = ("untrained", "iid")

    precision: float = 0.05
    exact: bool = False
    attribution: str | None = None
    whole: bool = True
    targets: int = TARGETS

    def __post_init__(self) -> None:
        known = attribution.METHODS
        if self.attribution not in (None, *known):
            raise UsageError(
                f"no attribution {self.attribution!r}", expected=f"one of {', '.join(known)}"
            )
        if not self.precision > 0:
            raise UsageError(
                "a precision has to be above 0", got=f"{self.precision:g}", expected="such as 0.05"
            )

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", states=True, gradients=True, most=128 if self.whole else 0)

    @property
    def work(self) -> float:
        return 50.0 if self.whole else 6.0

    def as_baseline(self) -> "GradientDecay":
        return replace(self, whole=False, attribution=None)

    def in_training(self) -> "GradientDecay":
        return replace(self.as_baseline(), targets=TARGETS // 2)

    @property
    def settled(self) -> bool:
        return not any(map(self._wide, self._directions(self.rows()).values()))

    def _wide(self, output: DecayCurve) -> bool:
        """Whether half-life or horizon is still known too roughly."""
        rough = (self._rough(*output.sampled(each)) for each in (half_lives, horizons))
        return output.alive and any(rough)

    def _rough(self, value: float, interval: Interval | None) -> bool:
        if interval is None:
            return True
        return interval.high - interval.low > 2 * self.precision * value

    def observe(self, observation: Observation) -> Evidence:
        derivatives = observation.derivatives
        assert derivatives is not None
        time = observation.inputs.shape[1]
        window = _window(time)
        generators = [self.random(number) for number in observation.sequences]
        steps, rows = _late(generators, time, self.targets), dict[str, np.ndarray]()
        whole = self.whole and observation.sequences[0] < CLOSELY
        for site in _sites(observation, whole=whole):
            vectors = self._vectors(observation, site, steps, generators)
            found = derivatives.gradients(_LOSS.get(site, site), steps, vectors, window)
            rows |= norms(site, found, exact=self.exact)
            if site == "output" and observation.causal:
                rows["ahead"] = found.leak.numpy()
            elif site == "output":
                mirrored = derivatives.gradients(site, time - 1 - steps, vectors, window)
                turned = Gradients(mirrored.ahead, mirrored.log_squares)
                rows |= norms(AHEAD, turned, exact=self.exact)
        if whole:
            for third, early, before in _earlier(generators, time):
                vectors = self._vectors(observation, "output", early, generators)
                found = derivatives.gradients("output", early, vectors, before)
                rows |= norms(third, found, exact=self.exact)
            rows |= gates.observe(observation, window)
        if whole and self.attribution:
            rows |= attribution.observe(observation, self.attribution, steps, window)
        return {**rows, "floor": np.full(len(generators), derivatives.floor)}

    def _vectors(
        self,
        observation: Observation,
        site: str,
        steps: Int[Tensor, "batch targets"],
        generators: list[np.random.Generator],
    ) -> Float[Tensor, "batch targets vectors width"]:
        """What each target step is multiplied by: directions, or the gradient of its loss."""
        if site == "loss":
            return _loss_gradients(observation, steps)
        derivatives = observation.derivatives
        assert derivatives is not None
        shape, width = tuple(steps.shape), derivatives.widths[site]
        if self.exact:
            return torch.eye(width).expand(*shape, width, width)
        signs = [g.choice((-1.0, 1.0), (shape[1], VECTORS, width)) for g in generators]
        return torch.from_numpy(np.stack(signs))

    def measure(self, evidence: Evidence) -> Measurement:
        sites = [name.removesuffix("/squares") for name in evidence if name.endswith("/squares")]
        curves = {site: self._curve(evidence, site) for site in sites}
        output = curves["output"]
        whole = {site: curve for site, curve in curves.items() if site not in (*THIRDS, AHEAD)}
        metrics = metrics_of(output, leak(output, evidence), self.distance)
        tables = [Series.stacked(self.id, [*self._columns(evidence, whole)])]
        if AHEAD in curves:
            metrics |= _ahead(curves[AHEAD], self.distance)
            tables.append(self._table_ahead(evidence, curves[AHEAD]))
        if self.whole:
            mean_square = self._curve(evidence, "output", DecayCurve.root_mean_square)
            metrics["half_life_rms"] = _half_life(mean_square)
            tables.append(Series.stacked(f"{self.id}-position", [*_thirds(curves)]))
        metrics |= gates.metrics(evidence, self.seed) | attribution.metrics(evidence)
        for more in (gates, attribution):
            tables += more.tables(self.id, evidence)
        return Measurement(
            headline=headline(metrics, self.distance),
            metrics=metrics,
            key="horizon",
            series=tuple(tables),
            warnings=(*_warnings(output), *self._unsettled(output)),
        )

    def _directions(self, evidence: Evidence) -> dict[str, DecayCurve]:
        """The output's curves: back in time, and ahead in models that look there."""
        sites = [site for site in ("output", AHEAD) if f"{site}/squares" in evidence]
        return {site: self._curve(evidence, site) for site in sites}

    def _table_ahead(self, evidence: Evidence, curve: DecayCurve) -> Series:
        columns = next(self._columns(evidence, {AHEAD: curve}))
        return Series.stacked(f"{self.id}-ahead", [columns | {"site": "output"}])

    def _curve(
        self, evidence: Evidence, site: str, mean: Mean = DecayCurve.geometric
    ) -> DecayCurve:
        return mean(self._squared(evidence, site), float(evidence["floor"][0]), self.seed)

    def _squared(self, evidence: Evidence, site: str) -> SquaredNorms:
        vectors = 1 if self.exact or site == "loss" else VECTORS
        return SquaredNorms(evidence[f"{site}/squares"], evidence[f"{site}/spread"], vectors)

    def _columns(
        self, evidence: Evidence, curves: Mapping[str, DecayCurve]
    ) -> Iterator[dict[str, object]]:
        for site, curve in curves.items():
            low, high = curve.interval()
            mean_square = self._curve(evidence, site, DecayCurve.root_mean_square)
            best = curve.fits[0] if curve.fits else None
            yield {
                "distance": range(curve.window + 1),
                "site": site,
                "relative": np.exp(curve.relative),
                "low": low,
                "high": high,
                "rms": np.exp(mean_square.relative),
                "projection_error": self._squared(evidence, site).projection_error,
                "fit": np.exp(best.logs) if best else math.nan,
                "law": best.law if best else "",
                "n": curve.sequences,
            }

    def _unsettled(self, output: DecayCurve) -> tuple[str, ...]:
        if not self.whole or not output.alive or not self._wide(output):
            return ()
        return (
            f"half-life or horizon is known less precisely than {self.precision:.0%} after "
            f"{output.sequences} sequences",
        )


def half_lives(curves: Curves) -> np.ndarray:
    """Steps from distance 1 in which each curve halves; infinite if it does not."""
    with np.errstate(invalid="ignore"):
        beyond = curves[:, 1:] - curves[:, 1:2]
    return first_crossings(np.nan_to_num(beyond, nan=-np.inf), -math.log(2))


def horizons(curves: Curves) -> np.ndarray:
    """After how many steps each curve stays below a thousandth; infinite if it does not."""
    return last_crossings(curves, math.log(HORIZON))


def _window(time: int) -> int:
    return 3 * time // 4


def _late(
    generators: list[np.random.Generator], time: int, targets: int
) -> Int[Tensor, "batch targets"]:
    """Target steps with a full window before them and a next token after them, spread evenly."""
    first, last = _window(time), time - 1
    edges = np.linspace(first, last, min(targets, last - first) + 1).astype(int)
    return torch.tensor([[int(g.integers(a, b)) for a, b in pairwise(edges)] for g in generators])


def _earlier(
    generators: list[np.random.Generator], time: int
) -> Iterator[tuple[str, Int[Tensor, "batch 1"], int]]:
    """A target in the first and in the middle third, and how far back it can look."""
    spans = ((time // 6, time // 3), (time // 3, 2 * time // 3))
    for third, (start, stop) in zip(THIRDS, spans, strict=True):
        yield third, torch.tensor([[int(g.integers(start, stop))] for g in generators]), start


def _sites(observation: Observation, *, whole: bool) -> list[str]:
    derivatives = observation.derivatives
    assert derivatives is not None
    if not whole:
        return ["output"]
    loss = [] if why_no_loss(observation) else ["loss"]
    return ["output", *loss, *list(derivatives.widths)[1:]]


def _loss_gradients(
    observation: Observation, steps: Int[Tensor, "batch targets"]
) -> Float[Tensor, "batch targets 1 classes"]:
    """D loss_t / d y_t for the cross-entropy of the next token."""
    at = torch.arange(len(steps))[:, None], steps
    chances = observation.outputs.detach().cpu()[at].double().softmax(-1)
    following = observation.inputs.cpu()[at[0], steps + 1]
    return (chances - one_hot(following, chances.shape[-1])).unsqueeze(2)


def norms(name: str, found: Gradients, *, exact: bool) -> dict[str, np.ndarray]:
    """One estimate of the squared norm per target, and how the single projections differ."""
    squares = found.log_squares
    several = squares.shape[2] > 1 and not exact
    spread = (
        squares.nan_to_num(neginf=0.0).var(2) if several else torch.zeros_like(squares[:, :, 0])
    )
    total = squares.logsumexp(2) - (math.log(squares.shape[2]) if several else 0.0)
    return {f"{name}/squares": total.numpy(), f"{name}/spread": spread.numpy()}


def _half_life(curve: DecayCurve, other: str = "earlier") -> Estimate:
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
    if "ahead" not in evidence:
        return Null("memoryless model", 0.0)
    largest = float(np.exp(0.5 * evidence["ahead"].max() - curve.scale))
    return Null("gradient to inputs after the target", largest)


def _ahead(curve: DecayCurve, distance: int) -> dict[str, Estimate]:
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
        "half_life": _half_life(curve, other),
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


def _warnings(curve: DecayCurve) -> tuple[str, ...]:
    """AICc alone often prefers a law with one parameter too many; a clear lead counts."""
    scores = {fit.law: fit.aicc for fit in curve.fits}
    if "exponential" not in scores or scores["exponential"] - min(scores.values()) < CLEARLY:
        return ()
    return (
        f"by AICc the curve follows the law `{curve.fits[0].law}`, not an exponential; "
        "`rate` describes it poorly",
    )


def _thirds(curves: Mapping[str, DecayCurve]) -> Iterator[dict[str, object]]:
    for name, curve in ((third, curves[third]) for third in THIRDS):
        yield _third(name, curve)
    yield _third("last", curves["output"])


def _third(name: str, curve: DecayCurve) -> dict[str, object]:
    low, high = curve.interval()
    return {
        "distance": range(curve.window + 1),
        "third": name,
        "relative": np.exp(curve.relative),
        "low": low,
        "high": high,
        "n": curve.sequences,
    }
