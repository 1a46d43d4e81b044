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
    Evidence,
    Gradients,
    Interval,
    Measurement,
    Needs,
    Observation,
    Probe,
    Series,
)
from seqprobe.errors import UsageError
from seqprobe.estimators.curve import DecayCurve, SquaredNorms
from seqprobe.estimators.grid import around
from seqprobe.probes.evidence import attribution, gates
from seqprobe.probes.evidence.decay_metrics import (
    half_life,
    half_lives,
    headline,
    horizons,
    leak,
    metrics_ahead,
    metrics_of,
    warnings_of,
)
from seqprobe.probes.evidence.on_grid import (
    grid_metrics,
    grid_rows,
    grid_tables,
    relative_to_mean,
)
from seqprobe.probes.evidence.predicting import why_no_loss

TARGETS, VECTORS, CLOSELY = 4, 2, 32
THIRDS, AHEAD = ("first", "middle"), "ahead"
_LOSS = {"loss": "output"}
Mean = Callable[[SquaredNorms, float, int], DecayCurve]


@dataclass(frozen=True)
class GradientDecay(Probe):
    """||d y_t / d e_{t-k}|| over the distance k, relative to k = 0.

    `precision`: more sequences are asked for until half-life and horizon are known so well.
    `exact`: every direction of a state instead of random ones. `attribution`: a method of captum
    to show beside the gradient. `whole`: every site, on the first 32 sequences, or only the output.
    `targets`: steps of each sequence to look back from; states look back from every other one.
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
        "necessary for learning a dependency, not sufficient. Steps of patches (`grid=`) run along "
        "the raster, where the next row is far away. Distance on the image is in "
        "`gradient-decay-grid` and `grid_mean_distance`: Euclidean, in patches, in all directions; "
        "there 1 is the mean gradient of all patches."
    )
    limits: ClassVar[str] = (
        "Sensitivity, not use: a saturated unit can have no gradient and still matter. Averages "
        "over the sequences that were fed. The residual connection dominates distance 0 in "
        "attention models, which lowers all their relative values; the half-life is counted from "
        "distance 1 for that reason. On the grid each norm is one of random projections, which is "
        "too low where few directions matter, unless --exact leaves them out."
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
            at = steps if site in ("output", "loss") else steps[:, ::2]
            vectors = self._vectors(observation, site, at, generators)
            found = derivatives.gradients(_LOSS.get(site, site), at, vectors, window)
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
        if observation.grid:
            rows |= self._on_grid(observation, generators)
        return {**rows, "floor": np.full(len(generators), derivatives.floor)}

    def _on_grid(self, observation: Observation, generators: list[np.random.Generator]) -> Evidence:
        """Of targets anywhere on the image; the mean gradient of what each may see is one."""
        derivatives, time = observation.derivatives, observation.inputs.shape[1]
        assert derivatives is not None
        assert observation.grid is not None
        steps = _between(generators, 0, time, self.targets)
        vectors = self._vectors(observation, "output", steps, generators)
        found = derivatives.gradients("output", steps, vectors, time - 1)
        back = norms("back", found, exact=self.exact)["back/squares"]
        turned = Gradients(found.ahead, found.log_squares)
        ahead = norms("ahead", turned, exact=self.exact)["ahead/squares"]
        logs, places = around(ahead, back, steps.numpy()), steps.numpy()
        if observation.causal:
            logs[np.arange(time) > places[..., None]] = math.nan
        return grid_rows(relative_to_mean(logs), places, observation.grid)

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
            metrics |= metrics_ahead(curves[AHEAD], self.distance)
            tables.append(self._table_ahead(evidence, curves[AHEAD]))
        if self.whole:
            mean_square = self._curve(evidence, "output", DecayCurve.root_mean_square)
            metrics["half_life_rms"] = half_life(mean_square)
            tables.append(Series.stacked(f"{self.id}-position", [*_thirds(curves)]))
        metrics |= gates.metrics(evidence, self.seed) | attribution.metrics(evidence)
        metrics |= grid_metrics(evidence, "the same gradient everywhere", self.seed)
        tables += grid_tables(self.id, evidence, "relative", self.seed)
        for more in (gates, attribution):
            tables += more.tables(self.id, evidence)
        return Measurement(
            headline=headline(metrics, self.distance),
            metrics=metrics,
            key="horizon",
            series=tuple(tables),
            warnings=(*warnings_of(output), *self._unsettled(output)),
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


def _window(time: int) -> int:
    return 3 * time // 4


def _late(
    generators: list[np.random.Generator], time: int, targets: int
) -> Int[Tensor, "batch targets"]:
    """Target steps with a full window before them and a next token after them, spread evenly."""
    return _between(generators, _window(time), time - 1, targets)


def _between(
    generators: list[np.random.Generator], first: int, stop: int, targets: int
) -> Int[Tensor, "batch targets"]:
    """Steps spread evenly."""
    edges = np.linspace(first, stop, min(targets, stop - first) + 1).astype(int)
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
