"""A folder of checkpoints that one training left: which they are, and of which steps."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from seqprobe.checkpoints.container import Kind, container
from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.formats.folder import candidates, weights_in
from seqprobe.checkpoints.read import read
from seqprobe.errors import FileError, UsageError
from seqprobe.records import Steps

STEP_KEYS = ("global_step", "step", "iter_num", "iteration", "iter", "num_updates")
STEP_WORDS = ("step", "iter", "iteration", "update", "checkpoint", "ckpt", "model", "weights")
EPOCH = "epoch"


@dataclass(frozen=True)
class OneTraining:
    """Checkpoints of one training, by step."""

    paths: tuple[Path, ...]
    steps: Steps


def one_training(path: Path) -> OneTraining | None:
    """What a folder of several checkpoints holds; None for all else, which is one model or none.

    Raises:
        UsageError: it is not known of which steps they are, or two are of the same.
        FileError: one of them cannot be read.
    """
    if not path.is_dir() or container(path) is not Kind.FOLDER:
        return None
    try:
        weights_in(path)
    except FileError:
        found = candidates(path)
        return _by_step(path, [read(each) for each in found]) if len(found) > 1 else None
    return None


def _by_step(folder: Path, found: list[Contents]) -> OneTraining:
    told = [(told_by, [of(each) for each in found]) for told_by, of in _ways()]
    told_by, steps = next(
        ((told_by, steps) for told_by, steps in told if None not in steps), ("", [])
    )
    if not told_by:
        raise _unknown(folder, found, [steps for _, steps in told])
    ordered = sorted(zip(steps, found, strict=True), key=lambda each: each[0] or 0)
    for (one, first), (other, second) in pairwise(ordered):
        if one == other:
            raise UsageError(
                "two checkpoints are of the same step",
                where=folder.name,
                got=f"{first.name} and {second.name}, both of {one} by {told_by}",
                do="Put those that you want to compare into a folder of their own.",
            )
    values = tuple(step for step, _ in ordered if step is not None)
    return OneTraining(tuple(each.path for _, each in ordered), Steps(values, told_by))


def _ways() -> Iterator[tuple[str, Callable[[Contents], int | None]]]:
    """From what stands in a file to what its name says; epochs are coarser than steps."""
    for key in STEP_KEYS:
        yield f"`{key}` in the files", partial(_stated, key)
    for word in STEP_WORDS:
        yield f"{word!r} in their names", partial(_named, word)
    yield "the numbers that are their names", partial(_named, "")
    yield f"`{EPOCH}` in the files", partial(_stated, EPOCH)
    yield f"{EPOCH!r} in their names", partial(_named, EPOCH)


def _stated(key: str, contents: Contents) -> int | None:
    value = contents.beside.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _named(word: str, contents: Contents) -> int | None:
    return _in_name(contents.path, word)


def _in_name(path: Path, word: str) -> int | None:
    """The number after a word.

    >>> [_in_name(Path(name), "step") for name in ("epoch=1-step=300.ckpt", "step10k.pt", "a.pt")]
    [300, None, None]
    """
    name = path.name if path.is_dir() else path.stem
    before = rf"(?:.*[^a-z])?{word}s?[=_-]*" if word else ""
    found = re.fullmatch(rf"{before}(\d+)(?:[^a-z0-9.].*)?", name.lower())
    return int(found[1]) if found else None


def _unknown(folder: Path, found: list[Contents], told: list[list[int | None]]) -> UsageError:
    """The one of which least is known."""
    without = [sum(step is not None for step in steps) for steps in zip(*told, strict=True)]
    return UsageError(
        f"{len(found)} checkpoints, and of {found[without.index(min(without))].name} the training "
        "step is not known",
        where=folder.name,
        expected=f"`{STEP_KEYS[0]}` in all files, or names such as checkpoint-500, step=500",
        do="Rename them, or give those to compare one by one.",
    )
