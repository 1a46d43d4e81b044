"""The same model before training, as far as that can be known from the model itself."""

import copy
import inspect
from collections.abc import Callable
from itertools import repeat

import torch
from torch import nn

from seqprobe.errors import NotApplicable
from seqprobe.estimators.seeded import seeded
from seqprobe.models.copied import copied
from seqprobe.models.sequence_model import SequenceModel


def untrained(model: SequenceModel, seed: int = 0) -> SequenceModel:
    """A copy with every module set back by its own `reset_parameters`.

    Parameters that belong to no module with such a method are permuted within each tensor: the
    same numbers without what training arranged. Random numbers are drawn on the CPU, so that they
    are the same on every device, and those outside are left alone.

    Raises:
        NotApplicable: the module cannot be copied, has no parameters, or not all in memory.
    """
    module = copied(_again(model.module), repeat(torch.device("cpu")))
    with seeded(seed), torch.no_grad():
        for part in module.modules():
            _set_back(part)
    return SequenceModel(
        copied(module, [each.device for each in model.tensors()]),
        vocab_size=model.vocab_size,
        features=model.features,
        sites=model.asked_sites,
        head=model.head,
        predicts=model.predicts,
        grid=model.grid,
    )


def _again(module: nn.Module) -> nn.Module:
    if not any(True for _ in module.parameters()):
        raise NotApplicable("the model has no parameters to set back")
    if any(parameter.is_meta for parameter in module.parameters()):
        raise NotApplicable("parameters are brought into memory only when they are used")
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise NotApplicable(f"the model cannot be copied ({type(error).__name__})") from error


def _set_back(part: nn.Module) -> None:
    reset = getattr(part, "reset_parameters", None)
    if callable(reset) and _needs_nothing(reset):
        reset()
        return
    for parameter in part.parameters(recurse=False):
        flat = parameter.flatten()
        parameter.copy_(flat[torch.randperm(flat.numel())].view_as(parameter))


def _needs_nothing(function: Callable[..., object]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return all(
        p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )
