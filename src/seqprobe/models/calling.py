"""Call the user's module without disturbing it, and say clearly what went wrong inside it."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from seqprobe.errors import ModelError
from seqprobe.models.mixers import slow_attention_path


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter gradients; all put back afterwards."""
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with evaluating(module):
        for parameter in wanted:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in wanted:
                parameter.requires_grad_(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, uncompiled, attention by the module's own code; put back afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with slow_attention_path(), _uncompiled():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _uncompiled() -> AbstractContextManager[Any]:
    """Hooks and edits would be compiled into the code; what loads no compiler has none."""
    loaded = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if loaded else nullcontext()


def call(module: nn.Module, inputs: Tensor, **more: Any) -> Any:
    """What the module returns; whatever it raises becomes a ModelError, except lack of memory."""
    try:
        return module(inputs, **more)
    except ModelError:
        raise  # it says already what to do
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            "the module cannot be run",
            where=type(module).__name__,
            got=f"{type(error).__name__} on inputs of shape {tuple(inputs.shape)}: {error}",
            do=_advice(error),
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """CUDA has an exception of its own; the CPU allocator only a message."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error)


def _advice(error: Exception) -> str:
    if isinstance(error, TypeError):
        return "If its forward wants more than the inputs, give a module whose forward does not."
    return "Check the length against what the model was built for, and its forward."
