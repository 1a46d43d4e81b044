"""Small arrays and scalars of NumPy from their bytes, without NumPy."""

import math
import struct
from typing import Any

from seqprobe.checkpoints.pickles.opaque import Object

_CODES = {
    "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I",
    "i8": "q", "u8": "Q", "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip
_MOST, _DIMENSIONS = 4096, 32


def scalar(dtype: Any, content: Any = b"") -> Any:
    """A number or a text, as `numpy.float64(3)` is pickled.

    Raises:
        TypeError: of another kind.
    """
    (value,) = _numbers(dtype, content)
    return value


def array(dtype: Any, content: Any, shape: Any, *, columns_first: bool = False) -> Any:
    """Nested lists.

    Raises:
        TypeError: an array of something else than numbers or texts, or a long one.
    """
    values = list(_numbers(dtype, content))
    if not all(type(size) is int and size >= 0 for size in shape) or len(values) != math.prod(
        shape
    ):
        raise TypeError("not the shape of these numbers")
    if (columns_first and len(shape) > 1) or len(shape) > _DIMENSIONS:
        raise TypeError("columns first, or too many of them")
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)] if size else []
    return values if shape else values[0]


def _numbers(dtype: Any, content: Any) -> tuple[Any, ...]:
    if not (
        isinstance(dtype, Object) and dtype.kind == "numpy.dtype" and isinstance(content, bytes)
    ):
        raise TypeError("not a pickled dtype and bytes")
    if len(content) > _MOST:
        raise TypeError("more than a few numbers")
    name, order = str(dtype.args[0]), _order(dtype.state)
    if name in _CODES:
        size = struct.calcsize(_CODES[name])
        return struct.unpack(f"{order}{len(content) // size}{_CODES[name]}", content)
    if name.startswith("U") and (width := 4 * int(name[1:])):
        codec = "utf-32-be" if order == ">" else "utf-32-le"
        words = (content[at : at + width] for at in range(0, len(content), width))
        return tuple(word.decode(codec).rstrip("\0") for word in words)
    raise TypeError("neither numbers nor text")


def _order(state: Any) -> str:
    """A dtype's state is (version, byte order, ..); it may lack."""
    given = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
    return ">" if given == ">" else "<"
