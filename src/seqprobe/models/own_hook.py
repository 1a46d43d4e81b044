"""A hook that is there only while it is wanted, and does nobody any harm."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch

_log = logging.getLogger("seqprobe")


@runtime_checkable
class Armed(Protocol):
    """Whoever wants hooks to be called, or does not for the moment."""

    armed: bool


class Hook:
    """Calls `seen`, or in code that is being compiled `compiled`, while `whose` is armed.

    Nothing that goes wrong in `seen` ends a training. Copies of a model, and saved ones, are not
    watched.
    """

    def __init__(
        self,
        whose: Armed | None = None,
        seen: Callable[..., Any] | None = None,
        compiled: Callable[..., Any] | None = None,
    ) -> None:
        self._whose, self._seen, self._compiled = whose, seen, compiled

    def __call__(self, *args: Any) -> Any:
        if self._whose is None or not self._whose.armed:
            return None
        if torch.compiler.is_compiling():
            return self._compiled(*args) if self._compiled and torch.is_grad_enabled() else None
        return _never_compiled()(self._seen, *args) if self._seen else None

    def __reduce__(self) -> tuple[type["Hook"], tuple[()]]:
        return Hook, ()


@cache
def _never_compiled() -> Callable[..., Any]:
    """Where a compiler gives up on the code around, it would try what is called in there."""
    plain: Callable[..., Any] = torch.compiler.disable(quietly)
    return plain


def quietly(do: Callable[..., Any], *args: Any) -> Any:
    """What `do` gives; None, and a line in the log, where it fails."""
    try:
        return do(*args)
    except Exception as error:
        _log.warning("a pass was not seen in full: %s: %s", type(error).__name__, error)
        return None
