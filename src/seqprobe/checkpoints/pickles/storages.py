"""Tensors as pickles describe them: a storage, and how a tensor lies in it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seqprobe.checkpoints.pickles.opaque import Name, Object, shown
from seqprobe.checkpoints.tensors import BYTES, Span, TensorSpec
from seqprobe.errors import FileError

EXPANDED = 2**20
DIMENSIONS = 64
_KINDS = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128",
    "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "Untyped": "uint8",
}  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """Numbers of one kind in a file; the device where they once were does not matter."""

    dtype: str
    span: Span


def stored(reference: Any, find: Callable[[str, int], Span]) -> Storage | Object:
    """What a reference to a storage stands for; an Object if its kind is unknown.

    Args:
        reference: ("storage", kind, key, location, numbers), as torch.save writes it.
        find: where the storage of that key and at least so many bytes lies.

    Raises:
        FileError: it is no reference of torch.save.
    """
    match reference:
        case ("storage", Name() as kind, str(key), _, int(count), *_) if count >= 0:
            dtype = kind_of(kind)
            if dtype is None:
                return Object(kind.kind)
            return Storage(dtype, find(key, count * BYTES[dtype]))
    raise FileError(
        "the pickle refers to something that torch.save never writes",
        got=shown(reference[0]) if isinstance(reference, tuple) and reference else "",
        do="Save the state dict again with torch.save.",
    )


def kind_of(storage: Name) -> str | None:
    """The dtype behind `torch.FloatStorage`, `torch.cuda.FloatStorage`, ..."""
    return _KINDS.get(storage.name.removesuffix("Storage"))


def spec(storage: Any, offset: Any, shape: Any, stride: Any, dtype: str = "") -> TensorSpec:
    """A tensor in a storage, checked: torch itself would silently let a storage grow.

    Raises:
        FileError: it does not lie inside of its storage.
        TypeError: these are not the parts of a tensor.
    """
    if not isinstance(storage, Storage):
        raise TypeError("not a storage")
    kind = dtype or storage.dtype
    shape, stride = _sizes(shape), _sizes(stride)
    (offset,) = _sizes((offset,))
    if len(shape) != len(stride):
        raise _impossible(storage, shape, "as many strides as sizes")
    count = math.prod(shape)
    last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if count and (offset + last + 1) * BYTES[kind] > storage.span.bytes:
        raise _impossible(storage, shape, f"all of it in {storage.span.bytes:,} bytes")
    if count > EXPANDED and count * BYTES[kind] > storage.span.bytes:
        raise _impossible(storage, shape, "no number to be shown a million times")
    return TensorSpec(kind, shape, stride, storage.span, offset if count else 0)


def _sizes(values: Any) -> tuple[int, ...]:
    """Whole numbers that are not negative and fit into 63 bits."""
    if len(values) > DIMENSIONS or not all(type(value) is int for value in values):
        raise TypeError("not sizes")
    if not all(0 <= value < 2**63 for value in values):
        raise FileError(
            "a tensor has an impossible size, stride or offset",
            got=shown(next(value for value in values if not 0 <= value < 2**63)),
            do="The file is damaged or was made to do harm: get it again.",
        )
    return tuple(values)


def _impossible(storage: Storage, shape: tuple[int, ...], expected: str) -> FileError:
    return FileError(
        "a tensor does not fit into its storage",
        where=storage.span.path.name,
        got=f"shape {shown(shape)}",
        expected=expected,
        do="The file is damaged or was made to do harm: get it again.",
    )
