"""Read what a file holds without running any of it."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from seqprobe.checkpoints.container import container
from seqprobe.errors import FileError

_HOLDERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Contents:
    """A checkpoint that was read: its state dict, and whatever else stood beside it."""

    name: str
    container: str
    sha256: str
    bytes: int
    weights: Mapping[str, Tensor]
    extra: Mapping[str, Any]

    @property
    def nonfinite(self) -> tuple[str, ...]:
        """Names of tensors with NaN or infinite entries."""
        return tuple(
            name
            for name, tensor in self.weights.items()
            if tensor.is_floating_point() and not tensor.isfinite().all()
        )


def read(path: Path) -> Contents:
    """Read a checkpoint; only tensors and plain containers are ever built from it.

    Raises:
        FileError: the file cannot be read, is unsafe, or holds no state dict.
    """
    kind = container(path)
    contents = _load(path, kind)
    weights = _state_dict(contents)
    if not weights:
        raise FileError(
            "the state of an optimizer, without the model's weights"
            if _optimizer_only(contents)
            else "no state dict inside",
            where=path.name,
            got=_described(contents),
            expected=f"tensors by name, alone or under one of {', '.join(_HOLDERS)}",
            do="Give the file with model.state_dict().",
        )
    extra = contents if isinstance(contents, dict) and weights is not contents else {}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Contents(path.name, kind, digest, path.stat().st_size, weights, extra)


def _load(path: Path, kind: str) -> Any:
    try:
        if kind == "safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings(action="ignore"):  # about foreign pickles, refused anyway
            return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise FileError(
            "the file holds more than tensors, and nothing in a checkpoint is ever executed",
            where=path.name,
            got=_culprit(error),
            expected="a state dict",
            do="Save model.state_dict(), and give what builds the model with --model.",
        ) from error
    except Exception as error:  # a damaged pickle can make the reader fail in any way
        raise FileError(
            "the file cannot be read; it may be cut off or damaged",
            where=path.name,
            got=_first_sentence(error),
            do="Copy it again.",
        ) from error


def _culprit(error: Exception) -> str:
    """The forbidden name in torch's advice, which is to allow it; ours is not."""
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return f"an object of {found[1].strip('`')}"
    return "a pickle that torch.save did not write"


def _optimizer_only(contents: Any) -> bool:
    return isinstance(contents, dict) and (
        contents.keys() >= {"state", "param_groups"}
        or any(_optimizer_only(value) for value in contents.values())
    )


def _first_sentence(error: Exception) -> str:
    text = str(error).split("\n")[0].split(". ")[0].strip()
    return text or type(error).__name__


def _state_dict(contents: Any) -> Mapping[str, Tensor]:
    if not isinstance(contents, dict):
        return {}
    for holder in _HOLDERS:
        if isinstance(contents.get(holder), dict):
            return _state_dict(contents[holder])
    return contents if contents and all(isinstance(v, Tensor) for v in contents.values()) else {}


def stripped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes that DistributedDataParallel and torch.compile put before names."""
    names = dict(zip(weights, weights, strict=True))
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in names.values()):
            names = {old: name.removeprefix(prefix) for old, name in names.items()}
    return {new: weights[old] for old, new in names.items()}


def _described(contents: Any) -> str:
    if isinstance(contents, dict):
        return f"a dictionary of {', '.join(map(str, list(contents)[:6])) or 'nothing'}"
    return f"a {type(contents).__name__}"
