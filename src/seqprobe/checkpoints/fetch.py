"""Numbers of tensors, mapped into memory from their files; the file itself is never changed."""

import mmap
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor

from seqprobe.checkpoints.container import unopened
from seqprobe.checkpoints.tensors import Pieces, Span, TensorSpec
from seqprobe.errors import FileError

_CHUNK = 2**22  # numbers that are looked at in one go


def fetch(spec: TensorSpec) -> Shaped[Tensor, "..."]:
    """Give one tensor; float8 becomes float32.

    Raises:
        FileError: the file has changed or cannot be mapped.
    """
    return _Storages().tensor(spec)


def fetch_all(weights: Mapping[str, TensorSpec]) -> dict[str, Tensor]:
    """Give all of them by name; those that share numbers in the file share memory."""
    storages = _Storages()
    return {name: storages.tensor(spec) for name, spec in weights.items()}


def nonfinite(weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Name the tensors with NaN or infinite entries, reading a part at a time."""
    return tuple(name for name, tensor in weights.items() if not _finite(tensor))


def _finite(tensor: Tensor) -> bool:
    numbers = tensor.is_floating_point() or tensor.is_complex()
    if tensor.is_meta or not tensor.numel() or not numbers:
        return True
    rows = torch.atleast_1d(tensor)
    height = max(1, _CHUNK * len(rows) // tensor.numel())
    return all(bool(part.isfinite().all()) for part in rows.split(height))


class _Storages:
    """Each file mapped once and each span looked up once, so that tied tensors stay tied."""

    def __init__(self) -> None:
        self._files: dict[Path, mmap.mmap] = {}
        self._numbers: dict[tuple[Span, str], Tensor] = {}

    def tensor(self, spec: TensorSpec) -> Tensor:
        if isinstance(spec.storage, Pieces):
            return self._joined(spec, spec.storage)
        numbers = self._typed(spec.storage, spec.dtype)
        return numbers.as_strided(spec.shape, spec.stride, spec.offset)

    def _joined(self, spec: TensorSpec, pieces: Pieces) -> Tensor:
        """NaN stands where no piece lies."""
        parts = [(begins, self.tensor(part)) for begins, part in pieces.parts]
        whole = torch.zeros(spec.shape, dtype=parts[0][1].dtype)
        if whole.is_floating_point():
            whole.fill_(torch.nan)
        for begins, part in parts:
            place = tuple(slice(b, b + n) for b, n in zip(begins, part.shape, strict=True))
            whole[place] = part
        return whole

    def _typed(self, span: Span, name: str) -> Tensor:
        if (span, name) not in self._numbers:
            self._numbers[span, name] = _of_kind(self._bytes(span), getattr(torch, name))
        return self._numbers[span, name]

    def _bytes(self, span: Span) -> Tensor:
        if not span.bytes:
            return torch.empty(0, dtype=torch.uint8)
        file = self._file(span.path)
        if span.start + span.bytes > len(file):
            raise FileError(
                "the file has become shorter since it was read",
                where=span.path.name,
                do="Try again.",
            )
        return torch.frombuffer(file, dtype=torch.uint8, count=span.bytes, offset=span.start)

    def _file(self, path: Path) -> mmap.mmap:
        if path not in self._files:
            try:
                with path.open("rb") as file:
                    self._files[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except (OSError, ValueError) as error:
                raise unopened(path, error) from error
        return self._files[path]


def _of_kind(raw: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers where the processor can read them: copied only if they lie askew."""
    if raw.data_ptr() % dtype.itemsize:
        raw = raw.clone()
    numbers = raw[: len(raw) // dtype.itemsize * dtype.itemsize].view(dtype)
    small = dtype.is_floating_point and dtype.itemsize == 1
    return numbers.float() if small else numbers
