"""A module's own way of carrying a state: what it returns beside its outputs, it takes again."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqprobe.errors import ModelError
from seqprobe.models.calling import undisturbed
from seqprobe.models.outputs import per_step_outputs
from seqprobe.models.sequence_model import SequenceModel

STATES = ("hidden", "hx", "h0", "c0", "state", "past", "cache", "mem", "carry", "prev")
CACHES = ("past_key_values", "cache_params", "cache", "mems", "state")
ASKED, POSITIONS = "use_cache", "position_ids"
FIRST, SECOND = 5, 3


@dataclass(frozen=True)
class _Way:
    """Which argument takes which part of what the last call returned.

    `singly`: only single steps go on with what was read before; `counted`: they have to be told
    their positions.
    """

    parts: Mapping[str, int | str] = field(default_factory=dict)
    singly: bool = False
    counted: bool = False


class Carrying:
    """How one module carries its state, found by its signature and by trying.

    An argument counts if its name tells of a state and if what was returned, given to it, changes
    the outputs. Of all ways, the first that gives the outputs of one pass: chunks of several
    steps or single ones, with or without their positions; else the first that changes anything.
    """

    def __init__(self, model: SequenceModel) -> None:
        self.model = model

    @property
    def argument(self) -> str:
        """What takes the state that the last call returned; empty where nothing does."""
        return ", ".join(self._way.parts)

    @property
    def singly(self) -> bool:
        """Whether only single steps go on with what was read before."""
        return self._way.singly

    @property
    def refusal(self) -> str:
        """What went wrong when the module was asked for a state; empty where nothing did."""
        return self._first.said if isinstance(self._first, ModelError) else ""

    @cached_property
    def _first(self) -> Any:
        """What the module returns with a first chunk, or the error."""
        try:
            return returned_with_cache(self.model, self.model.example(2, FIRST))
        except ModelError as error:
            return error

    def chunked(self, inputs: Tensor, sizes: Sequence[int]) -> Float[Tensor, "batch time classes"]:
        """The outputs, read in one call per chunk.

        Raises:
            ModelError: the module does not take such a chunk after another one.
        """
        return torch.cat(list(self._outputs(inputs, sizes, self._way)), dim=1)

    def _outputs(self, inputs: Tensor, sizes: Sequence[int], way: _Way) -> Iterator[Tensor]:
        state: dict[str, Any] = {}
        read = 0
        for chunk in inputs.split(list(sizes), dim=1):
            batch, time = chunk.shape[:2]
            if way.counted and read:
                state[POSITIONS] = torch.arange(read, read + time, device=inputs.device)[None]
            returned = returned_with_cache(self.model, chunk, **state)
            parts = _parts(returned)
            state = {argument: parts[part] for argument, part in way.parts.items()}
            read += time
            yield per_step_outputs(returned, batch, time, self.model.time_first, self.model.head)

    @cached_property
    def _way(self) -> _Way:
        """The first that gives the outputs of one pass, or that changes them; or none."""
        inputs, changes = self.model.example(2, FIRST + SECOND), _Way()
        whole = self.model(inputs)[:, FIRST:]
        allowed = torch.finfo(whole.dtype).eps ** 0.5 * whole.abs().max()
        for way in self._ways():
            try:
                after, alone = self._tried(way, inputs)
            except (ModelError, KeyError):
                continue
            if torch.equal(after, alone):
                continue
            if (after - whole).abs().max() <= allowed:
                return way
            if not (changes.parts or way.singly or way.counted):
                changes = way
        return changes

    def _tried(self, way: _Way, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """All chunks but the first, after it and alone."""
        sizes = [FIRST, *([1] * SECOND if way.singly else [SECOND])]
        _, *after = self._outputs(inputs, sizes, way)
        _, *chunks = inputs.split(sizes, dim=1)
        return torch.cat(after, dim=1), torch.cat([self.model(c) for c in chunks], dim=1)

    def _ways(self) -> Iterator[_Way]:
        """What bears the same name; then all in their order; then each part to each argument."""
        names = _states(self.model.module)
        if not names or self.refusal:
            return
        outputs = per_step_outputs(self._first, 2, FIRST, self.model.time_first, self.model.head)
        parts = [key for key, part in _parts(self._first).items() if not _is(part, outputs)]
        counted = (False, True) if POSITIONS in _arguments(self.model.module) else (False,)
        variants = list(product((False, True), counted))
        if common := {name: name for name in names if name in parts}:
            yield from (_Way(common, *variant) for variant in variants)
        if len(names) == len(parts):
            yield from (_Way(dict(zip(names, parts, strict=True)), *v) for v in variants)
        yield from (_Way({name: part}, *v) for name in names for part in parts for v in variants)


def returned_with_cache(model: SequenceModel, inputs: Tensor, **more: Any) -> Any:
    """What the module returns when it is asked for its cache, if it can be asked."""
    asked = {ASKED: True} if ASKED in _arguments(model.module) else {}
    with undisturbed(model.module), torch.no_grad():
        return model.returned(inputs, **asked, **more)


def _is(part: Any, outputs: Tensor) -> bool:
    """Whether a part is what the outputs were taken from, turned round or not."""
    return isinstance(part, Tensor) and part.data_ptr() == outputs.data_ptr()


def _arguments(module: nn.Module) -> list[str]:
    """Of its forward, by name; none where there is no signature, as in traced modules."""
    try:
        given = inspect.signature(module.forward).parameters
    except ValueError:
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, parameter in given.items() if parameter.kind in kinds]


def _states(module: nn.Module) -> list[str]:
    """Arguments after the inputs whose name tells of a state, and of no wish for one."""
    told = [name for name in _arguments(module)[1:] if any(word in name for word in STATES)]
    return [name for name in told if not name.startswith(("use_", "output_", "return_"))]


def _parts(returned: Any) -> dict[Any, Any]:
    """Whatever stands in a mapping, a tuple or an object, by name or by number."""
    if isinstance(returned, Tensor):
        return {}
    if isinstance(returned, Mapping):
        found = dict(returned)
    elif hasattr(returned, "_asdict"):
        found = returned._asdict()
    elif isinstance(returned, tuple | list):
        found = dict(enumerate(returned))
    else:
        found = dict(vars(returned)) if hasattr(returned, "__dict__") else {}
    return {key: part for key, part in found.items() if part is not None}
