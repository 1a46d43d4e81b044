"""A module once more, with its numbers on other devices."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn


def tensors(module: nn.Module) -> Iterator[Tensor]:
    """All parameters and buffers."""
    yield from module.parameters()
    yield from module.buffers()


def on_the_cpu(module: nn.Module) -> nn.Module:
    """A copy there; inputs of its parts are not taken elsewhere by accelerate any more."""
    moved = copied(module, repeat(torch.device("cpu")))
    for part in moved.modules():
        hook = getattr(part, "_hf_hook", None)
        hooks: tuple[Any, ...] = getattr(hook, "hooks", (hook,))
        for each in hooks:
            if getattr(each, "execution_device", None) is not None:
                each.execution_device = torch.device("cpu")
    return moved


def copied(module: nn.Module, devices: Iterable[torch.device]) -> nn.Module:
    """A copy with one device for each of the `tensors`; those that are there already are shared."""
    pairs = zip(tensors(module), devices, strict=False)
    again = deepcopy(module, {id(each): _at(each, device) for each, device in pairs})
    for part in again.modules():
        if isinstance(part, nn.RNNBase):
            part.flatten_parameters()  # cuDNN warns of weights that do not lie side by side
    return again


def _at(tensor: Tensor, device: torch.device) -> Tensor:
    """A parameter stays one; what is brought into memory only when it is used has no numbers."""
    if tensor.device == device or tensor.is_meta:
        return tensor
    moved = tensor.detach().to(device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved
