"""One batch passes through the model, and all that probes need of it is laid before them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqprobe.contracts import Mixer, Needs, Observation, Readout
from seqprobe.errors import NotApplicable
from seqprobe.estimators.readout import readout
from seqprobe.models.attempts import Attempts
from seqprobe.models.autograd import Autograd
from seqprobe.models.carrying import Carrying
from seqprobe.models.costs import Costs
from seqprobe.models.interventions import Interventions
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.sweep import Sweep
from seqprobe.sequences import streams

SOME = 32
"""Sequences that tell what real values are like, whatever the batches are."""


class Observed(NamedTuple):
    """A batch, why it has no gradients, and how far the probed forward was from the plain one."""

    observation: Observation
    no_gradients: str = ""
    difference: float | None = None


@dataclass
class Observer:
    """Shows sequences to the model; `needs` are those of all probes together."""

    model: SequenceModel
    needs: Needs
    stream: streams.Stream
    alphabet: Tensor | None

    def inputs(self, numbers: Sequence[int]) -> Tensor:
        """The sequences with these numbers, where the model is."""
        return self.stream.take(numbers, self.needs.length).to(self.model.device)

    def observe(self, numbers: Sequence[int]) -> Observed:
        """Run the model on a batch; it runs plainly as well on the one with the first sequence."""
        inputs = self.inputs(numbers)
        shared = self._shared(numbers, inputs)
        if not (self.needs.states or self.needs.gradients):
            reruns: Interventions | None = shared["interventions"]
            outputs = reruns.plain if reruns else self.model(inputs)
            return Observed(Observation(outputs=outputs, **shared))
        derivatives, why_none = self._derivatives(inputs)
        observed = (
            derivatives.observed if derivatives else self.model.observe(inputs, gradients=False)
        )
        observation = Observation(
            outputs=observed.outputs,
            states=observed.states,
            derivatives=derivatives,
            layers=observed.layers,
            recurrence=self.model.recurrence(observed),
            embeddings=observed.embeddings,
            from_embeddings=partial(self.model.from_embeddings, inputs),
            jacobian=derivatives.jacobian if isinstance(derivatives, Autograd) else None,
            **shared,
        )
        if numbers[0] != 0 or not self.needs.states:
            return Observed(observation, why_none)
        return Observed(observation, why_none, _difference(observed.outputs, self.model(inputs)))

    @cached_property
    def _mixers(self) -> tuple[Mixer, ...]:
        return self.model.mixers(self.needs.length) if self.needs.mixing else ()

    @cached_property
    def _some(self) -> Tensor:
        return self.inputs(range(min(SOME, self.needs.sequences)))

    @cached_property
    def _readout(self) -> Readout | None:
        return readout_of(self.model, self._some)

    def _shared(self, numbers: Sequence[int], inputs: Tensor) -> dict[str, Any]:
        """What does not depend on states and gradients."""
        model, needs = self.model, self.needs
        real = model.features is not None and needs.rerun
        return {
            "sequences": numbers,
            "inputs": inputs,
            "rerun": model,
            "interventions": Interventions(model, inputs) if needs.rerun else None,
            "attend": model.attend if needs.attention else None,
            "longer": lambda length: self.stream.take(numbers, length).to(model.device),
            "longest": self.stream.longest,
            "attempt": Attempts(model),
            "trained_length": model.trained_length,
            "carrying": None if model.grid else Carrying(model),
            "frequencies": self.stream.frequencies,
            "texts": self.stream.texts,
            "values": self._some.flatten(0, 1) if real else None,
            "readout": self._readout if real else None,
            "next_token": model.predicts != "classes",
            "alphabet": self.alphabet,
            "mixers": self._mixers,
            "costs": Costs(model) if needs.costs else None,
            "causal": model.causal,
            "grid": model.grid,
        }

    def _derivatives(self, inputs: Tensor) -> tuple[Sweep | Autograd | None, str]:
        """Or why there are none, which is told to the probes that need them."""
        if not self.needs.gradients:
            return None, ""
        try:
            return self.model.derivatives(inputs, states=self.needs.states), ""
        except NotApplicable as reason:
            return None, str(reason)


def readout_of(model: SequenceModel, inputs: Tensor) -> Readout | None:
    """How its outputs are compared; None where they are scores of classes.

    Each sequence is read alone, since the last bits depend on the size of a batch.
    """
    if model.features is None or model.predicts == "classes":
        return None
    outputs = torch.cat([model(each) for each in inputs.split(1)])
    may = model.predicts if model.causal else "values"
    return readout(inputs.cpu(), outputs.cpu(), may)


def _difference(probed: Tensor, plain: Tensor) -> float:
    """The largest one, relative to the largest output."""
    return float((probed.detach() - plain).abs().max() / plain.abs().max().clamp(min=1e-30))
