"""Where a training loop's own passes are looked at: modules that give a vector per step."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

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
    found: dict[str, list[_Call]] = {path: [] for path in _candidates(model)}
    with ExitStack() as stack:
        for path, calls in found.items():
            part, hook = model.module.get_submodule(path), _calls(calls.append)
            stack.callback(part.register_forward_hook(hook, with_kwargs=True).remove)
        model(inputs)
    sites = [
        site
        for path, calls in found.items()
        if (site := _site(model, path, calls, inputs)) is not None
    ]
    return [LoopSite(INPUTS, "", model.time_first), *sites] if model.features else sites


def place_of_inputs(model: SequenceModel, given: Mapping[Any, Any]) -> Any:
    """Under which key real-valued inputs are among the arguments of the model; None if nowhere."""
    return next((place for place, each in given.items() if _fits(model, each)), None)


def batch_and_time(model: SequenceModel, given: Mapping[Any, Any]) -> tuple[int, int]:
    """Of what the model is called with: of the first argument that has both."""
    tensors = (each for each in given.values() if isinstance(each, Tensor) and each.ndim > 1)
    first, second = next((each.shape[:2] for each in tensors), (0, 0))
    return (second, first) if model.time_first else (first, second)


def _fits(model: SequenceModel, given: Any) -> bool:
    real = isinstance(given, Tensor) and given.is_floating_point() and given.ndim == 3
    return real and given.shape[-1] == model.features


class _Call(NamedTuple):
    """The shape of what a module gave, and what it was given."""

    shape: torch.Size
    given: Any


def _calls(keep: Callable[[_Call], None]) -> Callable[..., None]:
    def hook(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            keep(_Call(tensor.shape, next(iter([*args, *kwargs.values()]), None)))

    return hook


def _candidates(model: SequenceModel) -> list[str]:
    """A model that embeds step by step has no embedding that is called with all tokens."""
    kinds: tuple[type[nn.Module], ...] = (nn.RNNBase, nn.RNNCellBase)
    if model.embedding is None and not model.features:
        kinds += (nn.Embedding,)
    found = [
        path
        for path, part in model.module.named_modules()
        if isinstance(part, kinds) or path in (*model.blocks, *model.asked_sites)
    ]
    return [model.embedding, *found] if model.embedding else found


def _site(model: SequenceModel, path: str, calls: list[_Call], inputs: Tensor) -> LoopSite | None:
    """None where a module gives no vector per step, or embeds something else."""
    batch, time = inputs.shape[:2]
    if _steps([call.shape for call in calls], batch) != time:
        return None
    embeds = isinstance(model.module.get_submodule(path), nn.Embedding)
    shape = calls[0].shape
    site = LoopSite(
        name=EMBEDDING if embeds else path or "output",
        path=path,
        time_first=len(shape) == 3 and shape[0] != batch,
        whole=len(calls) == 1,
    )
    if embeds and not torch.equal(torch.cat([site.tokens(c.given) for c in calls], 1), inputs):
        return None
    return site


def _steps(shapes: list[torch.Size], batch: int) -> int | None:
    """How many steps all calls gave together; None where there is no axis of the batch."""
    steps = 0
    for shape in shapes:
        if len(shape) not in (2, 3) or batch not in shape[: len(shape) - 1]:
            return None
        steps += 1 if len(shape) == 2 else shape[1] if shape[0] == batch else shape[0]
    return steps
