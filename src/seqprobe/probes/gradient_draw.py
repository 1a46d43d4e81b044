"""A quick look at how gradients fade with distance: one target and one backward per sequence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from seqprobe.contracts import Evidence, Measurement, Needs, Observation, Probe, Series
from seqprobe.estimators.curve import DecayCurve, SquaredNorms
from seqprobe.probes.evidence.decay_metrics import UNITS, headline, leak, metrics_of
from seqprobe.probes.gradient_decay import norms

SPREAD = 16


@dataclass(frozen=True)
class GradientDraw(Probe):
    """||d (v . y_t) / d e_{t-k}|| over the distance k, relative to k = 0, for random signs v.

    `draws`: sequences, each with one target step t and one v. From eight draws on the numbers have
    intervals.
    """

    id: ClassVar[str] = "gradient-draw"
    title: ClassVar[str] = "Gradient over distance, drawn"
    question: ClassVar[str] = (
        "How much could the output change with an input k steps back, roughly?"
    )
    method: ClassVar[str] = (
        "The output at one step, projected on random +-1 signs, against the input embeddings k "
        "steps earlier, up to the distance asked about; norms relative to distance 0, geometric "
        "mean over draws. Sequences are no longer than that takes."
    )
    reading: ClassVar[str] = (
        "As for the gradient over distance, for a small part of its price: made for watching a "
        "model at every step of its training. Single draws scatter; look at many of them."
    )
    limits: ClassVar[str] = (
        "Where the Jacobian has few directions, which is far away, one random direction lies too "
        "low on average, by a factor of 0.53 at most. Automatic differentiation in the precision "
        "of the model."
    )
    references: ClassVar[tuple[str, ...]] = (
        "A stochastic estimator of the trace of the influence matrix (Hutchinson, 1989)",
    )

    draws: int = 1

    @property
    def needs(self) -> Needs:
        length = self.distance + SPREAD
        return Needs(stream="data", gradients=True, sequences=self.draws, length=length)

    def observe(self, observation: Observation) -> Evidence:
        derivatives, time = observation.derivatives, observation.inputs.shape[1]
        assert derivatives is not None
        window = min(self.distance, time - 1)
        generators = [self.random(number) for number in observation.sequences]
        steps = torch.tensor([[int(each.integers(window, time))] for each in generators])
        shape = len(steps), 1, 1, derivatives.widths["output"]
        signs = [each.choice((-1.0, 1.0), shape[1:]) for each in generators]
        vectors = torch.stack([torch.from_numpy(each) for each in signs])
        found = derivatives.gradients("output", steps, vectors, window)
        return {
            **norms("output", found, exact=False),
            **({"ahead": found.leak.numpy()} if observation.causal else {}),
            "floor": torch.full((len(steps),), derivatives.floor).numpy(),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        squares = SquaredNorms(evidence["output/squares"], evidence["output/spread"])
        curve = DecayCurve.geometric(squares, float(evidence["floor"][0]), self.seed)
        metrics = metrics_of(curve, leak(curve, evidence), self.distance)
        low, high = curve.interval()
        columns = {
            "distance": range(curve.window + 1),
            "relative": np.exp(curve.relative),
            "low": low,
            "high": high,
        }
        return Measurement(
            headline=headline(metrics, self.distance),
            metrics={name: metrics[name] for name in UNITS},
            key="at_distance",
            series=(Series.of(self.id, columns, {"distance": "steps"}),),
        )
