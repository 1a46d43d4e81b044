"""What the weights of a recurrence say by themselves, without any input."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from seqprobe.contracts import (
    Cell,
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Observation,
    Probe,
    RecurrentLayer,
    Series,
)
from seqprobe.errors import NotApplicable


@dataclass(frozen=True)
class Weights(Probe):
    """Spectral radius of recurrent matrices, and the bias of the gates that keep the state."""

    id: ClassVar[str] = "weights"
    title: ClassVar[str] = "Recurrent weights"
    question: ClassVar[str] = "How long do the weights alone let a state live?"
    method: ClassVar[str] = (
        "Per layer: the largest modulus of the eigenvalues of the recurrent matrix, and its "
        "largest singular value (for gated cells, of the block that feeds the candidate); the sum "
        "of the two bias vectors of the gate that keeps the state, as PyTorch has them, and the "
        "time constant -1 / ln sigmoid(b) that it gives without any input."
    )
    reading: ClassVar[str] = (
        "A plain RNN with a spectral radius below one forgets; above one it may explode. A gate "
        "with bias b keeps for about exp(b) steps: to bridge T steps takes b near ln(T - 1)."
    )
    limits: ClassVar[str] = (
        "What the inputs do to the gates is not in here: see the gates on real input beside the "
        "gradient. A non-normal matrix can grow for a while although its radius is below one."
    )
    references: ClassVar[tuple[str, ...]] = (
        "On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
        "Can recurrent neural networks warp time? (Tallec and Ollivier, 2018)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", states=True, sequences=1)

    def observe(self, observation: Observation) -> Evidence:
        if not observation.layers:
            raise NotApplicable("no nn.RNN, nn.LSTM or nn.GRU inside that runs over all steps once")
        rows = {name: _numbers(layer) for name, layer in observation.layers.items()}
        return {name: np.tile(row, (len(observation.sequences), 1)) for name, row in rows.items()}

    def measure(self, evidence: Evidence) -> Measurement:
        layers = {name: rows[0] for name, rows in evidence.items() if name != "sequence"}
        radii = [row[0] for row in layers.values()]
        biases = [row[2] for row in layers.values() if not math.isnan(row[2])]
        metrics = {"spectral_radius": Estimate(float(max(radii)), "", exact=True)}
        if biases:
            largest = float(max(row[3] for row in layers.values()))
            metrics["forget_bias"] = Estimate(float(np.mean(biases)), "", exact=True)
            metrics["forget_bias_max"] = Estimate(largest, "", exact=True)
        return Measurement(
            headline=_headline(metrics),
            metrics=metrics,
            key="spectral_radius",
            series=(_table(layers),),
        )


def _numbers(layer: RecurrentLayer) -> np.ndarray:
    """Spectral radius, largest singular value, and mean and largest forget bias."""
    weight = layer.candidate_weight.detach().double().cpu()
    radius = torch.linalg.eigvals(weight).abs().max()
    largest = torch.linalg.matrix_norm(weight, ord=2)
    bias = layer.forget_bias
    of_bias = (
        [math.nan, math.nan]
        if bias is None
        else [float(bias.detach().mean()), float(bias.detach().max())]
    )
    return np.array([float(radius), float(largest), *of_bias])


def _headline(metrics: dict[str, Estimate]) -> str:
    radius = f"Spectral radius of the recurrent weights {metrics['spectral_radius'].value:.2f}"
    if "forget_bias" not in metrics:
        return f"{radius}."
    bias = metrics["forget_bias"].value or 0.0
    steps = 1 / math.log1p(math.exp(-bias))
    return f"{radius}; mean forget bias {bias:.2f}: by itself {steps:.1f} steps of memory."


def _table(layers: dict[str, np.ndarray]) -> Series:
    columns: dict[str, list[Cell]] = {
        "position": list(range(len(layers))),
        "site": list(layers),
        "spectral_radius": [float(row[0]) for row in layers.values()],
        "largest_singular_value": [float(row[1]) for row in layers.values()],
        "forget_bias": [float(row[2]) for row in layers.values()],
        "forget_bias_max": [float(row[3]) for row in layers.values()],
    }
    return Series.of("weights", columns)
