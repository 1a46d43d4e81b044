"""A module's own way of carrying a state: what it returns beside its outputs, it takes again."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.errors import ModelError
from seqprobe.models.calling import undisturbed
from seqprobe.models.outputs import per_step_outputs
from seqprobe.models.sequence_model import SequenceModel

STATES = ("hidden", "hx", "h0", "c0", "state", "past", "cache", "mem", "carry", "prev")
FIRST, SECOND = 5, 3
Way = Mapping[str, int | str]
"""Which argument takes which part of what the last call returned."""


class Carrying:
    """How one module carries its state, found by its signature and by trying.

    An argument counts if its name tells of a state and if what was returned, given to it, changes
    the outputs.
    """

    def __init__(self, model: SequenceModel) -> None:
        self.model = model

    @property
    def argument(self) -> str:
        """What takes the state that the last call returned; empty where nothing does."""
        return ", ".join(self._way)

    def chunked(self, inputs: Tensor, sizes: Sequence[int]) -> Float[Tensor, "batch time classes"]:
        """The outputs, read in one call per chunk.

        Raises:
            ModelError: the module does not take such a chunk after another one.
        """
        return torch.cat(list(self._outputs(inputs, sizes, self._way)), dim=1)

    def _outputs(self, inputs: Tensor, sizes: Sequence[int], way: Way) -> Iterator[Tensor]:
        state: dict[str, Any] = {}
        for chunk in inputs.split(list(sizes), dim=1):
            with undisturbed(self.model.module), torch.no_grad():
                returned = self.model.returned(chunk, **state)
            parts = _parts(returned)
            state = {argument: parts[part] for argument, part in way.items()}
            batch, time = chunk.shape[:2]
            yield per_step_outputs(returned, batch, time, self.model.time_first, self.model.head)

    @cached_property
    def _way(self) -> Way:
        """The first that works; empty if none does."""
        inputs = self.model.example(2, FIRST + SECOND)
        alone = self.model(inputs[:, FIRST:])
        for way in self._ways(inputs[:, :FIRST]):
            try:
                *_, after = self._outputs(inputs, (FIRST, SECOND), way)
            except (ModelError, KeyError):
                continue
            if not torch.equal(after, alone):
                return way
        return {}

    def _ways(self, inputs: Tensor) -> Iterator[Way]:
        """What bears the same name; then all in their order; then each part to each argument."""
        names = _arguments(self.model.module.forward)
        with undisturbed(self.model.module), torch.no_grad():
            returned = self.model.returned(inputs)
        batch, time = inputs.shape[:2]
        outputs = per_step_outputs(returned, batch, time, self.model.time_first, self.model.head)
        parts = [key for key, part in _parts(returned).items() if not _is(part, outputs)]
        if common := {name: name for name in names if name in parts}:
            yield common
        if len(names) == len(parts):
            yield dict(zip(names, parts, strict=True))
        yield from ({name: part} for name in names for part in parts)


def _is(part: Any, outputs: Tensor) -> bool:
    """Whether a part is what the outputs were taken from, turned round or not."""
    return isinstance(part, Tensor) and part.data_ptr() == outputs.data_ptr()


def _arguments(function: Any) -> list[str]:
    """Those after the inputs whose name tells of a state."""
    named = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    return [name for name in named[1:] if any(word in name for word in STATES)]


def _parts(returned: Any) -> dict[Any, Any]:
    """Whatever stands in a mapping, a tuple or an object, by name or by number."""
    if isinstance(returned, Tensor):
        return {}
    if isinstance(returned, Mapping):
        found = dict(returned)
    elif hasattr(returned, "_asdict"):
        found = returned._asdict()
    elif isinstance(returned, tuple | list):
        found = dict(enumerate(returned))
    else:
        found = dict(vars(returned)) if hasattr(returned, "__dict__") else {}
    return {key: part for key, part in found.items() if part is not None}
