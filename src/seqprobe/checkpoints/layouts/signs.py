"""Signs by which a checkpoint is known: names of its tensors, what stands beside them, shapes."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from seqprobe.checkpoints.contents import Contents

_LONGEST = 200
_FILTERS = ("weight", "weight_v", "weight.original1")  # the latter where their norm is apart


@dataclass(frozen=True)
class Evidence:
    """What signs look at, put together once."""

    contents: Contents

    @cached_property
    def names(self) -> str:
        """Of all tensors, one on each line."""
        return _lines(self.contents.plain)

    @cached_property
    def beside(self) -> str:
        """Keys of what stands beside the tensors, and `key.inner` for mappings."""
        beside = self.contents.beside
        inner = (
            f"{key}.{name}"
            for key, value in beside.items()
            if isinstance(value, Mapping)
            for name in value
        )
        return _lines([*beside, *inner])

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of all tensors."""
        return [spec.shape for spec in self.contents.weights.values()]


Sign = Callable[[Evidence], bool]


def names(*patterns: str) -> Sign:
    """Each pattern is found in the name of some tensor."""
    return lambda evidence: _each(patterns, evidence.names)


def beside(*patterns: str) -> Sign:
    """Each pattern is found in a key beside the tensors."""
    return lambda evidence: _each(patterns, evidence.beside)


def without(*patterns: str) -> Sign:
    """None of the patterns is found in a key beside the tensors."""
    return lambda evidence: not any(_each([pattern], evidence.beside) for pattern in patterns)


def both(*signs: Sign) -> Sign:
    """All of them."""
    return lambda evidence: all(sign(evidence) for sign in signs)


def either(*signs: Sign) -> Sign:
    """One of them at least."""
    return lambda evidence: any(sign(evidence) for sign in signs)


def quantised(evidence: Evidence) -> bool:
    """PyTorch's own kinds of quantised tensors."""
    return any(spec.dtype.startswith("q") for spec in evidence.contents.weights.values())


def hollow(evidence: Evidence) -> bool:
    """Tensors that hold no number, for their parts lie elsewhere."""
    return any(0 in shape for shape in evidence.shapes)


def over_images(evidence: Evidence) -> bool:
    """Half of all maps are convolutions in two directions; one of them is no causal mask."""
    maps = [shape for shape in evidence.shapes if len(shape) > 1]
    filters = [shape for shape in maps if len(shape) == 4 and shape[0] > 1]
    return 0 < len(maps) <= 2 * len(filters)


def over_time(evidence: Evidence) -> bool:
    """Convolutions in one direction, over steps and channels; tables of positions are none."""
    return any(
        name.endswith(_FILTERS) and len(shape) == 3 and min(shape[1:]) > 1
        for name, shape in zip(evidence.contents.weights, evidence.shapes, strict=True)
    )


def _lines(texts: Iterable[str]) -> str:
    """Cut short, so that no name of a file can keep a search busy."""
    return "\n".join(text[:_LONGEST] for text in texts)


def _each(patterns: Iterable[str], text: str) -> bool:
    return all(re.search(pattern, text, re.MULTILINE) for pattern in patterns)
