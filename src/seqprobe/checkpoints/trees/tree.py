"""From the tree of a checkpoint to its contents, or to what is there instead of weights."""

from pathlib import Path
from typing import Any

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.pickles.opaque import Object, label, located, shown
from seqprobe.checkpoints.tensors import TensorSpec
from seqprobe.checkpoints.trees.plain import attributes, is_optimizer
from seqprobe.checkpoints.trees.search import HOLDERS, Search
from seqprobe.errors import FileError


def contents_of(tree: Any, path: Path, container: str, bytes: int) -> Contents:
    """The parts of a checkpoint.

    Args:
        tree: as a format reads it.
        path: the file or folder that the user named.
        container: in a few words.
        bytes: on disk.

    Raises:
        FileError: there are no weights in it; says what is there instead.
    """
    search = Search(path.name)
    try:
        found = search.inside(tree)
    except FileError as error:
        raise located(error, path.name) from None
    if found is None:
        raise _nothing(tree, path)
    if all("lora_" in name for name in found.weights):
        raise FileError(
            "a LoRA adapter, without the model that it changes",
            where=path.name,
            got=f"{len(found.weights)} tensors, the first {shown(next(iter(found.weights)))}",
            do="Merge it into its base model first (peft: model.merge_and_unload()).",
        )
    return Contents(
        path=path,
        container=container,
        bytes=bytes,
        weights=found.weights,
        beside=found.beside,
        modules=found.modules,
        others=found.others,
        warnings=search.warnings,
    )


def _nothing(tree: Any, path: Path) -> FileError:
    return FileError(
        "the state of an optimizer, without the model's weights"
        if _optimizer_only(tree)
        else "no state dict inside",
        where=path.name,
        got=_described(tree),
        expected=f"tensors by name, alone or under one of {', '.join(HOLDERS[:4])}",
        do="Give the file with model.state_dict().",
    )


def _optimizer_only(tree: Any) -> bool:
    values = list(tree.values()) if isinstance(tree, dict) else []
    return any(
        is_optimizer(attributes(value) if isinstance(value, Object) else value)
        for value in [tree, *values]
    )


def _described(tree: Any) -> str:
    if isinstance(tree, dict):
        names = ", ".join(shown(label(name)) for name in list(tree)[:6])
        return f"a dictionary of {names or 'nothing'}"
    if isinstance(tree, Object):
        return f"an object of {shown(tree.kind)}"
    if isinstance(tree, TensorSpec):
        return "one tensor without a name"
    return f"a {type(tree).__name__.lower()}"
