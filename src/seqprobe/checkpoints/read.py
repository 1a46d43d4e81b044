"""From a path to what lies there: the kind of file, its format, its contents."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.asides import refuse_aside
from seqprobe.checkpoints.container import Kind, container
from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.formats import (
    configs,
    distributed,
    exported,
    folder,
    legacy,
    pickle,
    safetensors,
    sharded,
    tar,
    torch_zip,
    torchscript,
)
from seqprobe.checkpoints.trees.tree import contents_of
from seqprobe.errors import FileError

_TREES: dict[Kind, Callable[[Path], Any]] = {
    Kind.ZIP: torch_zip.read,
    Kind.LEGACY: legacy.read,
    Kind.TAR: tar.read,
    Kind.PICKLE: pickle.read,
    Kind.SAFETENSORS: safetensors.read,
    Kind.TORCHSCRIPT: torchscript.read,
    Kind.EXPORTED: exported.read,
    Kind.DISTRIBUTED: distributed.read,
}


def read(path: Path) -> Contents:
    """Read a checkpoint, a file or a folder, without running any of it and without its numbers.

    Raises:
        FileError: it cannot be read, or holds no weights.
    """
    given = container(path)
    file = folder.weights_in(path) if given is Kind.FOLDER else folder.whole(path)
    contents = replace(_read(file), path=path)
    _check_names(contents)
    if path == file and file.name not in folder.USUAL and given is not Kind.DISTRIBUTED:
        return contents
    found, failed = configs.beside(file if file.is_dir() else file.parent)
    return replace(
        contents,
        beside={**found, **contents.beside},
        warnings=(*contents.warnings, *failed),
    )


def _read(path: Path) -> Contents:
    if container(path) is Kind.INDEX:
        return sharded.merged(path, {file.name: _whole(file) for file in sharded.shards(path)})
    return _whole(path)


def _whole(path: Path) -> Contents:
    kind = container(path)
    if kind not in _TREES:
        raise FileError(f"an {kind} among the shards", where=path.name, do="Download it again.")
    tree = _TREES[kind](path)
    refuse_aside(tree, path)
    return contents_of(tree, path, kind.value, _bytes(path))


def _bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _check_names(contents: Contents) -> None:
    """They are printed into terminals and pages."""
    for name in contents.weights:
        if not name.isprintable():
            raise FileError(
                "a tensor has a name that cannot be printed",
                where=contents.name,
                got=ascii(name)[:80],
                do="Do not trust this checkpoint.",
            )
