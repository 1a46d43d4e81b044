"""How predictions are compared: the loss of each, and how far two of them are apart."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import Observation
from seqprobe.estimators.effects import kl_bits, surprisal_bits, top_changed

ROUNDING = 16
NO_FORECAST = "the model reads real values, and its outputs do not predict the next ones"


class Predictions(ABC):
    """What is asked of predictions, whatever they are; all in bits."""

    @abstractmethod
    def kl(
        self, plain: Float[Tensor, "*some outputs"], changed: Float[Tensor, "*some outputs"]
    ) -> Float[Tensor, "*some"]:
        """KL divergence from the plain to the changed prediction."""

    @abstractmethod
    def top_changed(
        self, plain: Float[Tensor, "*some outputs"], changed: Float[Tensor, "*some outputs"]
    ) -> Float[Tensor, "*some"]:
        """One where another class is the likeliest, else zero; NaN where there are no classes."""

    @abstractmethod
    def loss(self, outputs: Float[Tensor, "*some outputs"], following: Tensor) -> Tensor:
        """Of the inputs that follow, (.., features) or (..)."""

    @abstractmethod
    def rounding(
        self, outputs: Float[Tensor, "batch time outputs"], following: Tensor
    ) -> Float[Tensor, "batch 1"]:
        """What rounding alone may do to a loss, for each sequence."""


class Scores(Predictions):
    """Outputs before a softmax over classes."""

    def kl(
        self, plain: Float[Tensor, "*some outputs"], changed: Float[Tensor, "*some outputs"]
    ) -> Float[Tensor, "*some"]:
        return kl_bits(plain, changed)

    def top_changed(
        self, plain: Float[Tensor, "*some outputs"], changed: Float[Tensor, "*some outputs"]
    ) -> Float[Tensor, "*some"]:
        return top_changed(plain, changed).to(plain)

    def loss(self, outputs: Float[Tensor, "*some outputs"], following: Tensor) -> Tensor:
        return surprisal_bits(outputs, following)

    def rounding(
        self,
        outputs: Float[Tensor, "batch time outputs"],
        following: Tensor,  # noqa: ARG002
    ) -> Float[Tensor, "batch 1"]:
        largest = outputs.abs().where(outputs.isfinite(), 0).amax((1, 2)).double()
        return ROUNDING * torch.finfo(outputs.dtype).eps * largest[:, None]


@dataclass(frozen=True)
class Values(Predictions):
    """Outputs that are means of independent normal distributions.

    The loss is the surprisal but for a constant that depends on the unit of the data: the squared
    error over 2 ln 2 times the variance of the noise, summed over outputs. A hundredth of
    perplexity is two hundredths of the mean squared error of a single output.
    """

    noise: Float[Tensor, " outputs"]
    says: tuple[int, ...]

    def kl(
        self, plain: Float[Tensor, "*some outputs"], changed: Float[Tensor, "*some outputs"]
    ) -> Float[Tensor, "*some"]:
        return self._squares(changed.double() - plain.double())

    def top_changed(
        self,
        plain: Float[Tensor, "*some outputs"],
        changed: Float[Tensor, "*some outputs"],  # noqa: ARG002
    ) -> Float[Tensor, "*some"]:
        return plain.new_full(plain.shape[:-1], torch.nan)

    def loss(self, outputs: Float[Tensor, "*some outputs"], following: Tensor) -> Tensor:
        return self._squares(outputs.double() - following[..., self.says].double())

    def rounding(
        self, outputs: Float[Tensor, "batch time outputs"], following: Tensor
    ) -> Float[Tensor, "batch 1"]:
        wrong = (outputs.double() - following[..., self.says].double()).abs().amax(1)
        largest = outputs.abs().amax(1).double()
        least = ROUNDING * torch.finfo(outputs.dtype).eps * largest
        return (self._squares(wrong + least) - self._squares(wrong))[:, None]

    def _squares(self, apart: Float[Tensor, "*some outputs"]) -> Float[Tensor, "*some"]:
        """Nothing where two are equal, even if there is no noise."""
        scaled = (apart / self.noise.to(apart)).where(apart != 0, 0.0)
        return scaled.square().sum(-1) / (2 * math.log(2))


def predictions(observation: Observation) -> Predictions:
    """What its outputs are."""
    readout = observation.readout
    return Scores() if readout is None else Values(readout.noise, readout.says)


def why_no_loss(observation: Observation) -> str:
    """Why the loss on the next input means nothing; empty where it does."""
    if observation.readout is not None:
        return "" if observation.readout.says else NO_FORECAST
    if observation.frequencies is None:
        return "the model reads real values, and its outputs are scores of classes"
    if not observation.next_token:
        return "the model was trained to say something else than the next token"
    outputs, tokens = observation.outputs.shape[-1], len(observation.frequencies)
    if outputs != tokens:
        return f"the model gives {outputs} outputs for {tokens} tokens: it does not predict them"
    if not observation.causal:
        return "outputs depend on later inputs, so that they know the next token"
    return ""
