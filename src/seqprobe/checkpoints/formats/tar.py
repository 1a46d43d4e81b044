"""Files of torch before 0.1.10: a tar archive of storages, tensors and a pickle.

Its headers are read here: the standard library's reader of extended headers can be held up by
crafted ones (CVE-2024-6232), and torch only ever wrote four plain members.
"""

import struct
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats.legacy import part, storage_at
from seqprobe.checkpoints.pickles.inert import load
from seqprobe.checkpoints.pickles.opaque import Name, key, located
from seqprobe.checkpoints.pickles.storages import Storage, kind_of, spec
from seqprobe.checkpoints.tensors import Span, TensorSpec
from seqprobe.errors import FileError

MEMBERS = 100
_BLOCK = 512
Numbered = dict[Any, Any]


def read(path: Path) -> Any:
    """The tree in the member `pickle`, its tensors as TensorSpecs.

    Raises:
        FileError: damaged, or not written by torch.save.
    """
    with path.open("rb") as file:
        try:
            members = _members(file, path)
            storages = _storages(file, path, members["storages"])
            tensors = _tensors(file, path, members["tensors"], storages)
            file.seek(members["pickle"].start)
        except FileError as error:
            raise located(error, path.name) from None
        except Exception as error:  # a damaged archive can fail in any way
            raise FileError(
                "a tar archive, but not a complete one of torch.save before 0.1.10",
                where=path.name,
                do="Copy it again, or give the checkpoint in it.",
            ) from error
        return load(file, path.name, lambda reference: _referred(tensors | storages, reference))


def _members(file: BufferedIOBase, path: Path) -> dict[str, Span]:
    """Where each member lies, by its name."""
    members, at, size = {}, 0, path.stat().st_size
    for _ in range(MEMBERS):
        file.seek(at)
        header = file.read(_BLOCK)
        if len(header) < _BLOCK or not header[0]:
            break
        name = header[:100].rstrip(b"\0").decode("latin-1")
        span = Span(path, at + _BLOCK, int(header[124:136].rstrip(b" \0") or b"0", 8))
        if span.bytes < 0 or span.start + span.bytes > size:
            raise FileError(
                "the file is cut off", where=path.name, got=f"{size:,} bytes", do="Copy it again."
            )
        members[name.removeprefix("./")] = span
        at = span.start + -(-span.bytes // _BLOCK) * _BLOCK
    return members


def _storages(file: BufferedIOBase, path: Path, member: Span) -> Numbered:
    """Each with a number for its name; the last pickle lists those that are parts of others."""
    file.seek(member.start)
    storages: Numbered = {}
    for _ in range(_count(load(file, path.name))):
        number, _, kind = load(file, path.name)
        dtype = kind_of(kind) or "" if isinstance(kind, Name) else ""
        span = storage_at(file, path, member.start + member.bytes, dtype)
        storages[key(number)] = Storage(dtype, span)
    for number, root, offset, count in load(file, path.name):
        storages[key(number)] = part(storages[key(root)], _count(offset), _count(count))
    return storages


def _tensors(file: BufferedIOBase, path: Path, member: Span, storages: Numbered) -> Numbered:
    file.seek(member.start)
    tensors: Numbered = {}
    for _ in range(_count(load(file, path.name))):
        number, storage, _ = load(file, path.name)
        (dimensions,) = struct.unpack("<i4x", file.read(8))
        shape, stride = (_int64s(file, dimensions) for _ in range(2))
        (offset,) = _int64s(file, 1)
        tensors[key(number)] = spec(storages[key(storage)], offset, shape, stride)
    return tensors


def _int64s(file: BufferedIOBase, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}q", file.read(8 * count))


def _count(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value


def _referred(numbered: Numbered, reference: Any) -> Storage | TensorSpec | Name:
    """A number, or the class of a module with its source."""
    match reference:
        case (Name() as kind, *_):
            return kind
        case int() | str() if int(reference) in numbered:
            found: Storage | TensorSpec = numbered[int(reference)]
            return found
    raise FileError("the pickle refers to something that is not there", do="Copy the file again.")
