"""Bare pickles, as of pickle.dump: tensors in them are small files of torch.save."""

from functools import cache, partial
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats.legacy import tree_at
from seqprobe.checkpoints.pickles.inert import load, no_references
from seqprobe.checkpoints.pickles.objects import MEANINGS
from seqprobe.checkpoints.pickles.opaque import Blob, Meanings


def read(path: Path) -> Any:
    """The tree in the file, its tensors as TensorSpecs.

    Raises:
        FileError: damaged, or larger than a checkpoint needs.
    """
    storage = cache(partial(_storage, path))
    meanings: Meanings = {**MEANINGS, "torch.storage._load_from_bytes": storage}
    with path.open("rb") as file:
        return load(file, path.name, no_references, meanings)


def _storage(path: Path, content: Any) -> Any:
    """Protocols before 3 write bytes as text, and their numbers lie nowhere in the file."""
    if not isinstance(content, Blob):
        raise TypeError("no bytes in the file")
    with path.open("rb") as file:
        file.seek(content.start)
        return tree_at(file, path, content.start + content.bytes)
