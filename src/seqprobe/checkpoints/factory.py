"""`--model pkg.module:factory`: the user's own code builds the module."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from seqprobe.errors import ModelError, UsageError


def build_from(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """Import `pkg.module:factory`, also from the present folder, and call it."""
    factory = _imported(name)
    try:
        module = factory(**settings)
    except Exception as error:
        raise ModelError(
            "the factory failed",
            where=name,
            got=f"{type(error).__name__}: {error}",
            expected=f"arguments as in {_signature(factory)}",
            do="Give them with --set name=value.",
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            "the factory returned no module",
            where=name,
            got=type(module).__name__,
            expected="a torch.nn.Module",
            do="Return the model from the factory.",
        )
    return module


def _imported(name: str) -> Callable[..., Any]:
    path, _, attribute = name.partition(":")
    if not (path and attribute):
        raise UsageError(
            "not a factory",
            got=repr(name),
            expected="pkg.module:factory",
            do="Give the module and the name in it, with a colon between.",
        )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(path), attribute)
    except (Exception, SystemExit) as error:  # whatever the user's module does when imported
        raise ModelError(
            "the factory cannot be imported",
            where=name,
            got=f"{type(error).__name__}: {error}",
            expected="pkg.module:factory, as in `from pkg.module import factory`",
            do="Run from the folder that holds the code, and check both names.",
        ) from error
    if not callable(found):
        raise ModelError(
            "the factory cannot be called",
            where=name,
            got=type(found).__name__,
            expected="a class or function that returns a torch.nn.Module",
            do="Give its name after the colon.",
        )
    factory: Callable[..., Any] = found
    return factory


def _signature(factory: Callable[..., Any]) -> str:
    try:
        return f"{getattr(factory, '__name__', 'factory')}{inspect.signature(factory)}"
    except (TypeError, ValueError):
        return "its documentation"
