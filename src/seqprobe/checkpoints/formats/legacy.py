"""Files of torch.save before 1.6: five pickles, then the storages one after the other."""

from collections.abc import Mapping
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.pickles.inert import load
from seqprobe.checkpoints.pickles.opaque import Name, shown
from seqprobe.checkpoints.pickles.storages import Storage, kind_of, stored
from seqprobe.checkpoints.tensors import BYTES, Span
from seqprobe.errors import FileError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read(path: Path) -> Any:
    """The tree in the file, its tensors as TensorSpecs.

    Raises:
        FileError: damaged, or not written by torch.save.
    """
    with path.open("rb") as file:
        return tree_at(file, path, path.stat().st_size)


def tree_at(file: BufferedIOBase, path: Path, end: int) -> Any:
    """The tree of such a file, from where `file` stands; `end` is where it must be over.

    Raises:
        FileError: damaged, or not written by torch.save.
    """
    _check_head([load(file, path.name) for _ in range(3)], path)
    begin = file.tell()
    spans = _storages(file, path, end)
    file.seek(begin)
    return load(file, path.name, partial(_referred, spans))


def _check_head(head: list[Any], path: Path) -> None:
    magic, protocol, system = head
    if (magic, protocol) != (_MAGIC, _PROTOCOL) or not isinstance(system, dict):
        raise FileError(
            "a pickle that torch.save did not write",
            where=path.name,
            do="Save the state dict with torch.save.",
        )
    if system.get("little_endian") is not True:
        raise FileError(
            "its numbers are not little-endian",
            where=path.name,
            do="Load it and save it again on an ordinary machine.",
        )


def _storages(file: BufferedIOBase, path: Path, end: int) -> dict[str, Span]:
    """They lie behind the pickle that refers to them, which alone says of what kind they are."""
    kinds: dict[str, str] = {}

    def note(reference: Any) -> None:
        match reference:
            case ("storage", Name() as kind, str(key), *_):
                kinds.setdefault(key, kind_of(kind) or "")

    load(file, path.name, note)
    keys = load(file, path.name)
    if not (isinstance(keys, list) and all(isinstance(k, str) and kinds.get(k) for k in keys)):
        raise FileError(
            "storages of a kind that torch.save never wrote", where=path.name, do="Copy it again."
        )
    return {key: storage_at(file, path, end, kinds[key]) for key in keys}


def storage_at(file: BufferedIOBase, path: Path, end: int, dtype: str) -> Span:
    """The numbers that stand here behind their count; the file is left behind them.

    Raises:
        FileError: the file ends before.
    """
    count = int.from_bytes(file.read(8), "little", signed=True)
    span = Span(path, file.tell(), count * BYTES[dtype])
    if count < 0 or span.start + span.bytes > end:
        raise FileError(
            "the file is cut off: its numbers end too early",
            where=path.name,
            got=f"{end:,} bytes",
            do="Copy it again.",
        )
    file.seek(span.start + span.bytes)
    return span


def _referred(spans: Mapping[str, Span], reference: Any) -> Any:
    """A storage, a part of one (as before torch 0.4), or the class of a module."""
    match reference:
        case ("module", Name() as kind, *_):
            return kind
        case ("storage", Name(), str(), _, int(), (_, int(offset), int(count))):
            whole = stored((*reference[:4], 0), partial(_found, spans))
            if isinstance(whole, Storage):
                return part(whole, offset, count)
            return whole
    return stored(reference, partial(_found, spans))


def part(whole: Storage, offset: int, count: int) -> Storage:
    """A view of a storage as a storage of its own; in numbers, not bytes.

    Raises:
        FileError: it is not inside.
    """
    size, span = BYTES[whole.dtype], whole.span
    if offset < 0 or count < 0 or (offset + count) * size > span.bytes:
        raise FileError("a part of a storage lies outside of it", do="Copy the file again.")
    return Storage(whole.dtype, Span(span.path, span.start + offset * size, count * size))


def _found(spans: Mapping[str, Span], key: str, size: int) -> Span:
    if key not in spans or spans[key].bytes < size:
        raise FileError(
            "a storage is missing or holds fewer numbers than its tensors need",
            got=f"storage {shown(key)}",
            do="Copy the file again.",
        )
    return spans[key]
