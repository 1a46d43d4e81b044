"""What a file tells about its model besides shapes, and what is left to be found out."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Unknown

_HOLDERS = (
    "model_args", "model_kwargs", "hyper_parameters", "hparams", "args", "opt", "cfg", "config",
    "model_config", "settings", "params", "config.json", "hparams.yaml",
)  # fmt: skip
_HEADS = ("n_head", "nhead", "num_heads", "n_heads", "nheads", "num_attention_heads")
_USUAL_HEAD_WIDTH = 64
_MOST_HEADS = 512
_MOST_CANDIDATES = 12


def said(contents: Contents, *names: str) -> Any:
    """The value under these names in a pickled model's modules, or in the hyper-parameters.

    The first source that has one of the names counts. None if no source has, or if it gives two
    values.
    """
    for source in _sources(contents):
        found = [one[name] for one in source for name in names if one.get(name) is not None]
        if found:
            return found[0] if all(value == found[0] for value in found) else None
    return None


def _sources(contents: Contents) -> Iterator[list[Mapping[str, Any]]]:
    """What training built the model from stands before what else it was called with.

    Hyper-parameters may also be grouped, as in `config["model"]`.
    """
    yield [module.attributes for module in contents.modules.values()]
    for holder in _HOLDERS:
        if isinstance(held := contents.beside.get(holder), Mapping):
            yield [held]
            yield [group for group in held.values() if isinstance(group, Mapping)]
    yield [contents.beside]


def narrowed(value: Any, candidates: tuple[Any, ...]) -> tuple[Any, ...]:
    """Only this value, if it is one of them."""
    same = [one for one in candidates if one == value and type(one) is type(value)]
    return tuple(same[:1]) or candidates


def settled(
    candidates: Mapping[str, tuple[Any, ...]],
) -> tuple[dict[str, Any], tuple[Unknown, ...]]:
    """What has one candidate is stated, what has several is unknown."""
    stated = {name: values[0] for name, values in candidates.items() if len(values) == 1}
    unknown = (Unknown(name, values) for name, values in candidates.items() if len(values) > 1)
    return stated, tuple(unknown)


def head_counts(contents: Contents, width: int) -> tuple[int, ...]:
    """How many heads an attention of this width may have: one number if the file says it.

    Else those with heads about 64 wide come first.
    """
    counts = tuple(count for count in range(1, min(width, _MOST_HEADS) + 1) if width % count == 0)
    if len(stated := narrowed(said(contents, *_HEADS), counts)) == 1:
        return stated
    return tuple(sorted(counts, key=lambda count: _distance(width / count))[:_MOST_CANDIDATES])


def _distance(head_width: float) -> float:
    return abs(math.log(head_width / _USUAL_HEAD_WIDTH))
