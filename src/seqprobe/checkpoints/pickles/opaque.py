"""What a pickle names and nobody builds: classes and functions as names, objects as their parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from seqprobe.errors import FileError

Meanings = Mapping[str, Callable[..., Any]]

_RENAMED = {
    "__builtin__.xrange": "builtins.range",
    "__builtin__.": "builtins.",
    "copy_reg.": "copyreg.",
    "numpy._core.": "numpy.core.",
}
_NAME, _KEY_DEPTH, _KEY_PARTS = 300, 8, 32


@dataclass(frozen=True)
class Name:
    """A class or function by its name; it is never looked up."""

    module: str
    name: str

    def __post_init__(self) -> None:
        """Names are joined and kept, so a file must not repeat a long one.

        Raises:
            ValueError: it is longer than any name of a class.
        """
        if len(self.module) + len(self.name) > _NAME:
            raise ValueError("the name of a class is too long")

    @cached_property
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
        return Object("call", (callee, *args))
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
    layer, depth = [value], 0
    while tuples := [item for item in layer if isinstance(item, tuple)]:
        depth += 1
        if sum(map(len, tuples)) > _KEY_PARTS or depth > _KEY_DEPTH:
            raise _too_wide()
        layer = [part for item in tuples for part in item]
    hash(value)
    return value


def _too_wide() -> FileError:
    return FileError(
        "a key of a dictionary or set is a tuple of too many parts",
        expected=f"at most {_KEY_PARTS} parts, {_KEY_DEPTH} deep",
        do="Save the state dict alone.",
    )


def label(name: Any) -> str:
    """The text of a key of a dictionary.

    Raises:
        FileError: it is too long for a name.
    """
    match name:
        case str() | Name():
            text = name if isinstance(name, str) else name.kind
        case None | bool() | int() | float() | bytes():
            text = str(name)
        case tuple():
            text = ", ".join(shown(part) if isinstance(part, str | int) else ".." for part in name)
        case _:
            text = f"<{type(name).__name__}>"
    return _checked(text)


def joined(path: str, name: Any) -> str:
    """A dotted path and one more name.

    Raises:
        FileError: it is too long; in a small file the same long name may stand in many paths.
    """
    return _checked(f"{path}.{label(name)}") if path else label(name)


def _checked(text: str) -> str:
    if len(text) > _NAME:
        raise FileError(
            "a name in it is too long",
            got=shown(text),
            expected=f"at most {_NAME} characters",
            do="Save the state dict alone.",
        )
    return text


def located(error: FileError, where: str) -> FileError:
    """The same error, with the file that it is about."""
    if error.said.startswith(f"{where}: "):
        return error
    return FileError(error.said, where=where, do=error.do)


def shown(text: object) -> str:
    """Words of a file, short and harmless enough for a message."""
    safe = "".join(letter if letter.isprintable() else "?" for letter in str(text)[:61])
    return safe if len(safe) < 61 else f"{safe[:57]}..."
