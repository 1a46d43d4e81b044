"""Whatever a module returns, as one tensor of outputs per step."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from seqprobe.errors import ModelError


def per_step_outputs(
    returned: Any, batch: int, time: int, time_first: bool, head: str | None = None
) -> Float[Tensor, "batch time classes"]:
    """Find the outputs per step in logits, (logits, loss), (out, hidden), `.logits` or a dict.

    `head` names one of several; without it the likeliest is taken. Log-softmax outputs need nothing
    special: log-softmax leaves them as they are.

    Raises:
        ModelError: there is none, or none of that name.
    """
    found = per_step_heads(returned, batch, time, time_first)
    if head is not None:
        return _named(found | _numbers(returned, batch, time, time_first), head)
    if found:
        return next(iter(found.values()))
    steps = (time, batch) if time_first else (batch, time)
    shapes = [tuple(tensor.shape) for tensor in _tensors(returned).values()]
    once = any(len(shape) == 2 and shape[0] == batch for shape in shapes)
    raise ModelError(
        "the module returns no output per step",
        got=f"tensors of shape {shapes}" if shapes else _kind(returned),
        expected=f"a floating-point tensor of shape {(*steps, 'classes')}",
        do="Give a factory whose forward returns the logits of every step (--model)"
        + ("; one that answers once is measured as SequenceModel(ByPrefix(module))." * once or "."),
    )


def per_step_heads(
    returned: Any, batch: int, time: int, time_first: bool
) -> dict[str, Float[Tensor, "batch time classes"]]:
    """All outputs per step by their names, or their places in a tuple; the likeliest first."""
    steps = (time, batch) if time_first else (batch, time)
    found = {}
    for name, tensor in _tensors(returned).items():
        if tensor.ndim == 3 and tensor.shape[:2] == steps:
            found[name] = tensor.transpose(0, 1) if time_first else tensor
        elif tensor.ndim == 2 and tensor.shape[0] == batch * time:
            found[name] = _unflattened(tensor, steps, time_first)
    return found


def _numbers(returned: Any, batch: int, time: int, time_first: bool) -> dict[str, Tensor]:
    """One number per step, such as where an answer starts, as outputs of one class."""
    steps = (time, batch) if time_first else (batch, time)
    found = {name: t for name, t in _tensors(returned).items() if t.shape == steps}
    return {name: (t.T if time_first else t).unsqueeze(-1) for name, t in found.items()}


def _named(found: Mapping[str, Tensor], head: str) -> Tensor:
    if head not in found:
        raise ModelError(
            f"the module returns no output per step named {head!r}",
            got=", ".join(found) or "none at all",
            expected="the name of one of several outputs, or its place in a tuple",
            do="Give one of these as head=...",
        )
    return found[head]


def single_answer(returned: Any, batch: int, head: str | None = None) -> Tensor:
    """The one output per sequence, (batch, classes).

    Raises:
        ModelError: there is none, or none of that name.
    """
    tensors = _tensors(returned).items()
    found = {name: t for name, t in tensors if t.ndim == 2 and len(t) == batch}
    if head is None and found:
        return next(iter(found.values()))
    if head is not None:
        return _named(found, head)
    shapes = [tuple(tensor.shape) for _, tensor in tensors]
    raise ModelError(
        "the module returns no single answer per sequence",
        got=f"tensors of shape {shapes}" if shapes else _kind(returned),
        expected=f"a floating-point tensor of shape {(batch, 'classes')}",
        do="A module that returns one per step needs no ByPrefix.",
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
    return next(iter(_tensors(returned).values()), None)


def _tensors(returned: Any) -> dict[str, Tensor]:
    """Floating-point tensors by name, in the order in which they are most likely the outputs."""
    if isinstance(returned, Tensor):
        named: dict[str, Any] = {"output": returned}
    elif isinstance(returned, dict):
        named = {"logits": returned.get("logits"), **returned}
    elif isinstance(returned, tuple | list):
        names = getattr(returned, "_fields", map(str, range(len(returned))))
        named = dict(zip(names, returned, strict=True))
    else:
        likely = {name: getattr(returned, name, None) for name in ("logits", "last_hidden_state")}
        named = likely | getattr(returned, "__dict__", {})
    return {name: t for name, t in named.items() if isinstance(t, Tensor) and t.is_floating_point()}


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
