"""Whether numbers can be computed with, and fit into memory, asked before any is read."""

from collections.abc import Mapping

import psutil

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.foreign import amount
from seqprobe.checkpoints.tensors import BYTES, TensorSpec
from seqprobe.errors import ModelError

_FLOAT8 = "float8"
_SCALES = ("scale", "scale_inv", "SCB", "absmax", "scales")


def check_loadable(contents: Contents, dtype: str = "float32") -> None:
    """Refuse what is quantised, and what needs more memory than is free.

    Args:
        contents: that were read.
        dtype: in which the model will compute.

    Raises:
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
