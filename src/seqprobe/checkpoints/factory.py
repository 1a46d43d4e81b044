"""`--model pkg.module:factory`: the user's own code builds the module."""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.hyperparameters import said
from seqprobe.errors import ModelError, UsageError

Factory = Callable[..., Any]


def build_from(
    name: str, settings: Mapping[str, Any], contents: Contents
) -> tuple[nn.Module, dict[str, Any]]:
    """Import `pkg.module:factory` or `pkg.module:Net(hidden=256)`, and call it.

    The present folder is importable. Arguments come from `settings`, then from the name itself,
    and those that the factory has a parameter for, from the hyper-parameters in the file.

    Returns:
        The module, and the arguments that came from the file.

    Raises:
        UsageError: the name is no factory.
        ModelError: it cannot be imported or called, or returns no module.
    """
    path, literal = _parsed(name)
    factory = _imported(path)
    given = {**literal, **settings}
    recorded = {name: said(contents, name) for name in _parameters(factory) if name not in given}
    taken = {name: value for name, value in recorded.items() if value is not None}
    try:
        module = factory(**given, **taken)
    except (Exception, SystemExit) as error:
        raise ModelError(
            "the factory failed",
            where=path,
            got=f"{type(error).__name__}: {error}" + _from_file(taken),
            expected=f"arguments as in {_signature(factory)}",
            do="Give them with --set name=value.",
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            "the factory returned no module",
            where=path,
            got=type(module).__name__,
            expected="a torch.nn.Module",
            do="Return the model from the factory.",
        )
    return module, taken


def _from_file(taken: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{k}={v!r}' for k, v in taken.items())} of the file" if taken else ""


def _parsed(name: str) -> tuple[str, dict[str, Any]]:
    """The path of the factory, and its literal arguments if there are any."""
    path, bracket, _ = name.partition("(")
    module, _, attribute = path.partition(":")
    if not (module and attribute):
        raise _no_factory(name)
    if not bracket:
        return path, {}
    try:
        call = ast.parse(name[len(module) + 1 :].strip(), mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name | ast.Attribute)
        assert not call.args
        return path, {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise _no_factory(name) from None


def _no_factory(name: str) -> UsageError:
    return UsageError(
        "not a factory",
        got=repr(name),
        expected="pkg.module:factory, or 'pkg.module:Net(hidden=256)'",
        do="Give the module and the name in it, with a colon between.",
    )


def _imported(name: str) -> Factory:
    path, _, attribute = name.partition(":")
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
    factory: Factory = found
    return factory


def _parameters(factory: Factory) -> tuple[str, ...]:
    """Names that it takes as keyword arguments."""
    try:
        found = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def _signature(factory: Factory) -> str:
    try:
        return f"{getattr(factory, '__name__', 'factory')}{inspect.signature(factory)}"
    except (TypeError, ValueError):
        return "its documentation"
