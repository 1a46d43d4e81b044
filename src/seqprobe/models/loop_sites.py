"""Where a training loop's own passes are looked at: modules that give a vector per step."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.models.outputs import first_tensor
from seqprobe.models.sequence_model import SequenceModel

EMBEDDING, INPUTS = "embedding", "inputs"


@dataclass(frozen=True)
class LoopSite:
    """A module and how its outputs lie: (batch, time, ..), or `time_first`.

    `whole`: it is called once for all steps; otherwise for a few, or for one of them, (batch, ..).
    """

    name: str
    path: str
    time_first: bool
    whole: bool = True

    @property
    def first(self) -> bool:
        """Whether this is where a forward begins."""
        return self.name in (EMBEDDING, INPUTS) and self.whole

    def per_step(self, tensor: Tensor) -> Float[Tensor, "batch steps width"]:
        """What one call gave, or the gradient of it."""
        if tensor.ndim == 2:
            return tensor.unsqueeze(1)
        return tensor.transpose(0, 1) if self.time_first else tensor

    def tokens(self, input: Tensor) -> Int[Tensor, "batch steps"]:
        """What one call of the embedding was given."""
        if input.ndim == 1:
            return input.unsqueeze(1)
        return input.T if self.time_first else input


def loop_sites(model: SequenceModel) -> list[LoopSite]:
    """The embedding or the inputs, and then recurrences, cells and blocks.

    Which axis is time is read off one run, in which batch and length differ.
    """
    inputs = model.example(3)
    batch, time = inputs.shape[:2]
    found: dict[str, list[torch.Size]] = {path: [] for path in _candidates(model)}
    with ExitStack() as stack:
        for path, shapes in found.items():
            part, hook = model.module.get_submodule(path), _shapes(shapes.append)
            stack.callback(part.register_forward_hook(hook).remove)
        model(inputs)
    sites = [
        LoopSite(_name(path, model), path, _is_time_first(shapes[0], batch), len(shapes) == 1)
        for path, shapes in found.items()
        if _steps(shapes, batch) == time
    ]
    return [LoopSite(INPUTS, "", model.time_first), *sites] if model.features else sites


def place_of_inputs(model: SequenceModel, given: Mapping[Any, Any]) -> Any:
    """Under which key real-valued inputs are among the arguments of the model; None if nowhere."""
    return next((place for place, each in given.items() if _fits(model, each)), None)


def _fits(model: SequenceModel, given: Any) -> bool:
    real = isinstance(given, Tensor) and given.is_floating_point() and given.ndim == 3
    return real and given.shape[-1] == model.features


def _candidates(model: SequenceModel) -> Iterator[str]:
    if model.embedding:
        yield model.embedding
    for path, part in model.module.named_modules():
        if isinstance(part, nn.RNNBase | nn.RNNCellBase) or path in model.hooked_sites:
            yield path


def _name(path: str, model: SequenceModel) -> str:
    return EMBEDDING if path == model.embedding else path or "output"


def _shapes(keep: Callable[[torch.Size], None]) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            keep(tensor.shape)

    return hook


def _is_time_first(shape: torch.Size, batch: int) -> bool:
    return len(shape) == 3 and shape[0] != batch


def _steps(shapes: list[torch.Size], batch: int) -> int | None:
    """How many steps all calls gave together; None where there is no axis of the batch."""
    steps = 0
    for shape in shapes:
        if len(shape) not in (2, 3) or batch not in shape[: len(shape) - 1]:
            return None
        steps += 1 if len(shape) == 2 else shape[1] if shape[0] == batch else shape[0]
    return steps
