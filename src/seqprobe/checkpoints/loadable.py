"""Whether numbers can be computed with, and fit into memory, asked before any is read."""

from collections.abc import Mapping
from pathlib import Path

import psutil
from safetensors import SafetensorError, safe_open

from seqprobe.checkpoints.container import Kind
from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.foreign import amount
from seqprobe.checkpoints.tensors import BYTES, Span, TensorSpec
from seqprobe.errors import FileError, ModelError

_FLOAT8 = "float8"
_SCALES = ("scale", "scale_inv", "SCB", "absmax", "scales")


def check_loadable(contents: Contents, dtype: str = "float32") -> None:
    """Refuse what is quantised, damaged, or needs more memory than is free.

    Args:
        contents: that were read.
        dtype: in which the model will compute.

    Raises:
        FileError: the safetensors library, asked once more, refuses the file.
        ModelError: the numbers are codes, or too many.
    """
    if found := _quantised(contents.weights):
        raise ModelError(
            "the weights are quantised",
            where=contents.name,
            got=f"{found} in {contents.weights[found].dtype}",
            expected="floating-point numbers",
            do="Dequantise them first, and give that checkpoint.",
        )
    needed, free = _bytes(contents.weights, dtype), psutil.virtual_memory().available
    if needed > free:
        raise ModelError(
            "the weights do not fit into memory",
            where=contents.name,
            got=f"{len(contents.weights)} tensors, {amount(needed)} as {dtype}",
            expected=f"at most {amount(free)}, which are free",
            do=_smaller(dtype),
        )
    if contents.container.startswith(Kind.SAFETENSORS):
        storages = {spec.storage for spec in contents.weights.values()}
        for path in {storage.path for storage in storages if isinstance(storage, Span)}:
            _validate(path)


def _validate(path: Path) -> None:
    try:
        with safe_open(path, framework="pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise FileError(
            "the safetensors library refuses the file",
            where=path.name,
            got=str(error),
            do="Copy it again.",
        ) from error


def _quantised(weights: Mapping[str, TensorSpec]) -> str | None:
    """The first tensor whose numbers are codes for others."""
    scaled = any(name.rpartition(".")[2].endswith(_SCALES) for name in weights)
    for name, spec in weights.items():
        kind, last = spec.dtype, name.rpartition(".")[2]
        codes = kind in {"int8", "uint8", "int32"} and last.endswith(("weight", "_packed"))
        if kind.startswith("q") or codes or (kind.startswith(_FLOAT8) and scaled):
            return name
    return None


def _bytes(weights: Mapping[str, TensorSpec], dtype: str) -> int:
    """Tied tensors count once."""
    return sum(spec.numel for spec in set(weights.values())) * BYTES[dtype]


def _smaller(dtype: str) -> str:
    if BYTES[dtype] > BYTES["bfloat16"]:
        return "Add --dtype bfloat16, or use a machine with more memory."
    return "Use a machine with more memory."
