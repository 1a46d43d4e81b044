"""What checks annotations while tests run: beartype, with integers accepted as numbers.

jaxtyping's own wrapper checks the parameters of every function twice, and keeps sizes of axes also
for functions that name none, which took most of the time of many tests. Here everything is checked
once, and sizes are kept where there may be axes.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import isclass, isfunction, isgeneratorfunction
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
whole = jaxtyping.jaxtyped


def jaxtyped(*, typechecker: Callable) -> Callable:
    """In place of the decorator of the same name, which goes around all that is imported."""

    def decorate(what: Any) -> Any:
        if is_dataclass(what) and isclass(what):
            what.__init__ = decorate(what.__init__)
            return what
        if not isfunction(what) or isgeneratorfunction(what):
            return whole(what, typechecker=typechecker)
        return with_sizes(check(what)) if may_have_axes(what) else check(what)

    return decorate


def with_sizes(function: Callable) -> Callable:
    """An axis has one size in all that a call takes and gives."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with whole("context"):
            return function(*args, **kwargs)

    return wrapped


def may_have_axes(function: Callable) -> bool:
    """Whether an annotation holds an array with named axes, or a name that is not yet defined."""
    try:
        return any(map(has_axes, get_type_hints(function).values()))
    except NameError:
        return True


def has_axes(hint: Any) -> bool:
    if isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(has_axes, get_args(hint)))


jaxtyping.jaxtyped = jaxtyped
