"""Why a gradient cannot be taken, in the user's words: what happened, and in which module."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from seqprobe.errors import NotApplicable
from seqprobe.models.faults import (
    where_changed_in_place,
    where_gradient_is_not_finite,
    where_graph_is_cut,
    where_rows_mix,
)

NO_EMBEDDING = (
    "no nn.Embedding takes the tokens, so there is nothing continuous to differentiate; "
    "a look-up of another kind, such as one-hot vectors, has no gradient"
)


def cut(module: nn.Module, run: Callable[[], Any]) -> NotApplicable:
    """The outputs do not depend on the inputs for automatic differentiation."""
    where = _named(module, where_graph_is_cut(module, run))
    return NotApplicable(
        f"the graph is cut{where}: what it returns has no gradient to its input "
        "(detach, no_grad, rounding, or indices in place of numbers)"
    )


def changed_in_place(module: nn.Module, run: Callable[[], Any], error: Exception) -> NotApplicable:
    """A tensor that the gradient needs was overwritten."""
    where = _named(module, where_changed_in_place(module, run))
    return NotApplicable(
        f"a tensor that the gradient needs was changed in place{where}; write `x = x + y` instead "
        f"of `x += y` there ({_first_line(error)})"
    )


def not_finite(module: nn.Module, run: Callable[[], Tensor]) -> NotApplicable:
    """NaN or infinite gradients."""
    where = _named(module, where_gradient_is_not_finite(module, run))
    return NotApplicable(f"the gradient becomes NaN or infinite{where}")


def rows_mix(module: nn.Module, run: Callable[[bool], Any], batch: int) -> NotApplicable:
    """The gradient of one sequence cannot be told from that of another."""
    where = _named(module, where_rows_mix(module, run, batch))
    return NotApplicable(
        f"rows of a batch influence each other{where}, so that the gradient of one sequence "
        "cannot be told from another's; check batch_first"
    )


def is_in_place(error: Exception) -> bool:
    """Whether automatic differentiation complains about an overwritten tensor."""
    return "inplace operation" in str(error) or "in-place operation" in str(error)


def _named(module: nn.Module, path: str | None) -> str:
    if path is None:
        return ""
    return f" in module {path!r}" if path else f" in {type(module).__name__}'s own forward"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(": [")[0]
