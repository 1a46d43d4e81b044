"""Folders of torch.distributed.checkpoint: a pickled index, and files full of torch.save archives.

A tensor may lie in chunks, which may lie in several files.
"""

import math
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.container import unopened
from seqprobe.checkpoints.formats.torch_zip import Archive
from seqprobe.checkpoints.pickles.inert import load
from seqprobe.checkpoints.pickles.opaque import shown
from seqprobe.checkpoints.tensors import Pieces, Span, TensorSpec, contiguous
from seqprobe.errors import FileError

INDEX = ".metadata"
_CHUNKS = 100_000
_Spans = dict[Any, dict[Any, Span]]  # by name, then by where a chunk begins


def read(folder: Path) -> Any:
    """Give what was saved: nested dictionaries with tensors in them.

    Raises:
        FileError: a file is missing, or the index is damaged.
    """
    try:
        with (folder / INDEX).open("rb") as file:
            index = load(file, INDEX).state
        spans = _spans(folder, index["storage_data"])
        entries = index["state_dict_metadata"]
        values = {name: _value(entry, spans[name]) for name, entry in entries.items()}
        return _nested(values, index.get("planner_data") or {})
    except OSError as error:
        raise unopened(folder, error) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # not what torch writes
        raise _damaged(f"{type(error).__name__} {shown(error)}") from error


def _spans(folder: Path, places: Any) -> _Spans:
    """Where the chunks of each entry lie, by where they begin in it."""
    if len(places) > _CHUNKS:
        raise _damaged(f"more than {_CHUNKS:,} chunks")
    sizes = {
        name: _size(folder, name) for name in {p.state["relative_path"] for p in places.values()}
    }
    spans: _Spans = {}
    for which, place in places.items():
        name, start, length = (place.state[n] for n in ("relative_path", "offset", "length"))
        if place.state.get("transform_descriptors"):
            raise _damaged("chunks that were compressed or encrypted")
        if not 0 <= start <= start + length <= sizes[name]:
            raise FileError("the file is cut off", where=name, do="Copy it again.")
        chunks = spans.setdefault(which.state["fqn"], {})
        chunks[which.state.get("offset")] = Span(folder / name, start, length)
    return spans


def _size(folder: Path, name: Any) -> int:
    path: Path = folder / name
    if path.name != name:
        raise _damaged(f"a path out of the folder, {shown(name)}")
    if not path.is_file():
        raise FileError(
            "a file of the checkpoint is missing",
            where=folder.name,
            expected=shown(name),
            do="Copy the whole folder again.",
        )
    return path.stat().st_size


def _value(entry: Any, spans: dict[Any, Span]) -> Any:
    """A tensor, whole or in pieces, or any other value."""
    if not entry.kind.endswith(".TensorStorageMetadata"):
        return _saved(spans[None])
    shape, chunks = entry.state["size"], [chunk.state for chunk in entry.state["chunks"]]
    parts = [
        (c["offsets"], _inside(_saved(spans[c["offsets"]]), c["offsets"], c["sizes"], shape))
        for c in chunks
        if math.prod(c["sizes"]) or len(chunks) == 1
    ]
    begins = {begin for begin, _ in parts}
    if len(begins) < len(parts) or sum(part.numel for _, part in parts) != math.prod(shape):
        raise _damaged("chunks that do not make up their tensor")
    if len(parts) == 1:
        return parts[0][1]
    return TensorSpec(parts[0][1].dtype, shape, contiguous(shape), Pieces(tuple(parts)))


def _saved(span: Span) -> Any:
    return Archive.open(span.path, part=span).pickle()


def _inside(part: Any, begins: Any, sizes: Any, shape: Any) -> TensorSpec:
    fits = all(
        0 <= begin <= begin + size <= whole
        for begin, size, whole in zip(begins, sizes, shape, strict=True)
    )
    if not (fits and isinstance(part, TensorSpec) and part.shape == sizes):
        raise _damaged("a chunk outside of its tensor")
    return part


def _nested(values: dict[Any, Any], places: Any) -> dict[Any, Any]:
    """Names of entries are paths through dictionaries and lists, joined by dots."""
    tree: dict[Any, Any] = {}
    for name, value in values.items():
        *folders, last = places.get(name, (name,))
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[last] = value
    return tree


def _damaged(got: str) -> FileError:
    return FileError(
        "the index of the checkpoint is damaged",
        where=INDEX,
        got=got,
        expected="what torch.distributed.checkpoint writes",
        do="Copy the folder again.",
    )
