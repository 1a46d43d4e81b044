"""Whatever a module returns, as one tensor of outputs per step."""

from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.errors import ModelError


def per_step_outputs(
    returned: Any, batch: int, time: int, time_first: bool
) -> Float[Tensor, "batch time classes"]:
    """Find the outputs per step in logits, (logits, loss), (out, hidden), `.logits` or a dict.

    Log-softmax outputs need nothing special: log-softmax leaves them as they are.
    """
    steps = (time, batch) if time_first else (batch, time)
    for tensor in _tensors(returned):
        if tensor.ndim == 3 and tensor.shape[:2] == steps:
            return tensor.transpose(0, 1) if time_first else tensor
        if tensor.ndim == 2 and tensor.shape[0] == batch * time:
            return _unflattened(tensor, steps, time_first)
    shapes = [tuple(tensor.shape) for tensor in _tensors(returned)]
    raise ModelError(
        "the module returns no output per step",
        got=f"tensors of shape {shapes}" if shapes else _kind(returned),
        expected=f"a floating-point tensor of shape {(*steps, 'classes')}",
        do="Give a factory whose forward returns the logits of every step (--model).",
    )


def _kind(returned: Any) -> str:
    if isinstance(returned, Tensor):
        return f"only integers ({returned.dtype}), such as the most likely token, and no scores"
    return type(returned).__name__


def _unflattened(tensor: Tensor, steps: tuple[int, int], time_first: bool) -> Tensor:
    """Some models return (steps x batch, classes), in the order of their own inputs."""
    shaped: Tensor = tensor.unflatten(0, steps)
    return shaped.transpose(0, 1) if time_first else shaped


def first_tensor(returned: Any) -> Tensor | None:
    """The most likely output among whatever a module returns."""
    return next(iter(_tensors(returned)), None)


def _tensors(returned: Any) -> list[Tensor]:
    """Floating-point tensors in the order in which they are most likely the outputs."""
    if isinstance(returned, Tensor):
        return [returned] if torch.is_floating_point(returned) else []
    named = [getattr(returned, name, None) for name in ("logits", "last_hidden_state")]
    if isinstance(returned, dict):
        named = [returned.get("logits"), *returned.values()]
    elif isinstance(returned, tuple | list):
        named = list(returned)
    return [t for t in named if isinstance(t, Tensor) and torch.is_floating_point(t)]


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors, however deep, in the order in which they are held."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in _parts(value) for tensor in tensors_in(part)]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, tuple | list):
        return list(value)
    if isinstance(value, SimpleNamespace):
        return list(vars(value).values())
    if is_dataclass(value):
        return [getattr(value, part.name, None) for part in fields(value)]
    return []
