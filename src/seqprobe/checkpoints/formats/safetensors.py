"""safetensors: the length of a JSON header, the header, and the numbers without a gap.

Source: "safetensors: simple, safe and fast serialization" (Hugging Face, 2022), its README.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.container import unopened
from seqprobe.checkpoints.foreign import amount
from seqprobe.checkpoints.formats.json_text import LIMIT, mapping
from seqprobe.checkpoints.tensors import BYTES, Span, TensorSpec, contiguous
from seqprobe.errors import FileError

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_METADATA = "__metadata__"


def read(path: Path) -> dict[str, Any]:
    """Give the tensors by name, or, where metadata stands beside them, both under their names.

    Raises:
        FileError: the file is cut off, or its header lies.
    """
    header, start = _header(path)
    metadata = header.pop(_METADATA, None)
    weights = {name: _spec(name, entry, path, start) for name, entry in header.items()}
    _without_gaps([entry["data_offsets"] for entry in header.values()], path, start)
    if not isinstance(metadata, dict):
        return weights
    return {"state_dict": weights | _tied(weights, metadata), _METADATA: metadata}


def _tied(weights: Mapping[str, TensorSpec], metadata: Mapping[str, Any]) -> dict[str, TensorSpec]:
    """`safetensors.torch.save_model` keeps one of two tied tensors, and notes the other's name."""
    return {
        dropped: weights[kept]
        for dropped, kept in metadata.items()
        if isinstance(kept, str) and kept in weights and dropped not in weights
    }


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """And the byte after it."""
    try:
        with path.open("rb") as file:
            size, length = path.stat().st_size, int.from_bytes(file.read(8), "little")
            if length > LIMIT:
                raise _damaged(path, f"a header of {length:,} bytes")
            if 8 + length > size:
                raise _cut_off(path, 8 + length, size)
            return mapping(file.read(length), path.name), 8 + length
    except OSError as error:
        raise unopened(path, error) from error


def _spec(name: str, entry: Any, path: Path, start: int) -> TensorSpec:
    match entry:
        case {"dtype": str(kind), "shape": [*sizes], "data_offsets": [int(begin), int(end)]} if (
            all(type(size) is int and 0 <= size < 2**63 for size in sizes) and 0 <= begin <= end
        ):
            pass
        case _:
            raise _damaged(path, f"{name} described by {str(entry)[:80]}")
    if kind not in _DTYPES:
        raise FileError(
            "numbers of a kind that torch cannot compute with",
            where=path.name,
            got=f"{name} in {kind[:20]}",
            expected=", ".join(list(_DTYPES)[:4]),
            do="If it is quantised, dequantise it first.",
        )
    dtype, shape = _DTYPES[kind], tuple(sizes)
    if math.prod(shape) * BYTES[dtype] != end - begin:
        raise _damaged(path, f"{name} of shape {shape} in {end - begin:,} bytes")
    return TensorSpec(dtype, shape, contiguous(shape), Span(path, start + begin, end - begin))


def _without_gaps(pairs: Iterable[list[int]], path: Path, start: int) -> None:
    """Every byte belongs to one tensor, as the format demands."""
    size, end = path.stat().st_size, start
    for first, last in sorted(pairs):
        if start + first != end:
            raise _damaged(path, f"a gap or an overlap at byte {end:,}")
        end = start + last
    if end > size:
        raise _cut_off(path, end, size)
    if end < size:
        raise _damaged(path, f"{size - end:,} bytes after the last tensor")


def _cut_off(path: Path, needed: int, size: int) -> FileError:
    return FileError(
        "the file is cut off",
        where=path.name,
        got=f"{amount(size)} on disk",
        expected=f"at least {amount(needed)}",
        do="Copy it again.",
    )


def _damaged(path: Path, got: str) -> FileError:
    return FileError("the header is damaged", where=path.name, got=got, do="Copy the file again.")
