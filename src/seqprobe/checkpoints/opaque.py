"""What a pickle names and nobody builds: classes and functions as names, objects as their parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seqprobe.errors import FileError

Meanings = Mapping[str, Callable[..., Any]]

_RENAMED = {
    "__builtin__.xrange": "builtins.range",
    "__builtin__.": "builtins.",
    "copy_reg.": "copyreg.",
    "numpy._core.": "numpy.core.",
}
_KEY_DEPTH, _KEY_PARTS = 8, 1000


@dataclass(frozen=True)
class Name:
    """A class or function by its name; it is never looked up."""

    module: str
    name: str

    @property
    def kind(self) -> str:
        """Dotted, with the names that Python 2 and NumPy 2 use brought to one form."""
        whole = f"{self.module}.{self.name}"
        for old, new in _RENAMED.items():
            if whole.startswith(old):
                return new + whole.removeprefix(old)
        return whole


@dataclass(eq=False, slots=True)
class Object:
    """The parts of an object: of what class it would be, and what it was to be made from."""

    kind: str
    args: tuple = field(default=(), repr=False)
    state: Any = field(default=None, repr=False)
    items: list = field(default_factory=list, repr=False)
    entries: dict = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Blob:
    """A long string of bytes, left where it lies in the stream that was read."""

    start: int
    bytes: int


def made(callee: Any, args: tuple, meanings: Meanings) -> Any:
    """What a call in a pickle stands for: a well-known value, or else an Object."""
    if not isinstance(callee, Name):
        kind = callee.kind if isinstance(callee, Object) else type(callee).__name__
        return Object(f"{kind}()", (callee, *args))
    if meaning := meanings.get(callee.kind):
        try:
            return meaning(*args)
        except (TypeError, ValueError):  # not what the name usually takes
            pass
    return Object(callee.kind, args)


def key(value: Any) -> Any:
    """The value itself, once it is safe to hash: C would follow tuples to any depth.

    Raises:
        FileError: a tuple of too many parts.
        TypeError: it cannot be hashed.
    """
    layer = [value]
    for _ in range(_KEY_DEPTH):
        tuples = [item for item in layer if isinstance(item, tuple)]
        if not tuples:
            hash(value)
            return value
        if sum(map(len, tuples)) > _KEY_PARTS:
            break
        layer = [part for item in tuples for part in item]
    raise FileError(
        "a key of a dictionary or set is a tuple of too many parts",
        expected=f"at most {_KEY_PARTS} parts, {_KEY_DEPTH} deep",
        do="Save the state dict alone.",
    )


def shown(text: object) -> str:
    """Words of a file, short and harmless enough for a message."""
    safe = "".join(letter if letter.isprintable() else "?" for letter in str(text)[:61])
    return safe if len(safe) < 61 else f"{safe[:57]}..."
