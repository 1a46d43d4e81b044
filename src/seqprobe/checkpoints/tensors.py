"""A tensor that was not read: its kind, its shape, and where in which file its numbers lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "complex64": 8, "complex128": 16,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1,
    "qint8": 1, "quint8": 1, "qint32": 4,
}  # fmt: skip
FLOATING = frozenset({"float64", "float32", "float16", "bfloat16"})


@dataclass(frozen=True)
class Span:
    """Bytes of a file: every container, once opened, is spans of uncompressed numbers."""

    path: Path
    start: int
    bytes: int


@dataclass(frozen=True)
class Pieces:
    """Numbers in several places: where in the whole each part begins, and the part itself."""

    parts: tuple[tuple[tuple[int, ...], TensorSpec], ...]

    @property
    def bytes(self) -> int:
        """Of all parts."""
        return sum(part.bytes for _, part in self.parts)


@dataclass(frozen=True)
class TensorSpec:
    """`offset` and `stride` are in elements of `dtype`, which is one of torch's names.

    Two specs with the same span, offset and shape are one tensor: tied weights.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    storage: Span | Pieces
    offset: int = 0

    @property
    def numel(self) -> int:
        """How many numbers it shows, some of them perhaps more than once."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """What it takes when it stands alone."""
        return self.numel * BYTES[self.dtype]


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a tensor that lies in row-major order."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return tuple(reversed(strides))[-len(shape) :] if shape else ()
