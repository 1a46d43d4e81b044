"""What a model makes of a batch when something in it is changed.

What comes before a change stays as it was: where that can be done exactly, only the rest is run
again (see `continuation.py`).
"""

import logging
from collections.abc import Callable, Hashable, Iterator
from functools import cached_property
from itertools import product
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Pieces, Read
from seqprobe.models.calling import is_out_of_memory
from seqprobe.models.continuation import Continuation, Fresh, FullRun, Part
from seqprobe.models.from_cache import FromCache
from seqprobe.models.from_states import FromStates
from seqprobe.models.sequence_model import SequenceModel

T = TypeVar("T")
BLOCK, LARGEST = 1 << 16, 1 << 20
"""Numbers of outputs that are read at once, and the most of a single row."""
SAME = 100
"""Roundings by which two ways to the same outputs may differ, relative to the largest."""
_log = logging.getLogger("seqprobe")
_chosen: WeakKeyDictionary[SequenceModel, dict[int, type[Continuation]]] = WeakKeyDictionary()


class Interventions:
    """Reruns of pieces of one batch of inputs, (batch, time) or (batch, time, features)."""

    def __init__(self, model: SequenceModel, inputs: Tensor) -> None:
        self.model, self.inputs = model, inputs
        self._done: dict[Hashable, Any] = {}

    @cached_property
    def plain(self) -> Float[Tensor, "batch time classes"]:
        """The outputs of the batch as it is."""
        return self.model(self.inputs)

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """What `work` gives; done once for all probes that ask with the same key."""
        if key not in self._done:
            self._done[key] = work()
        return cast(T, self._done[key])

    def continued(
        self, pieces: Pieces, read: Read, *, last: int | None = None
    ) -> Float[Tensor, "rows read measures"]:
        """The pieces, read after the first `starts` steps of their sequences as they are."""
        return self._read(self._continuation, pieces, read, last)

    def fresh(
        self, pieces: Pieces, read: Read, *, last: int | None = None
    ) -> Float[Tensor, "rows read measures"]:
        """The pieces alone: nothing was read before them."""
        return self._read(Fresh(self.model, self.inputs), pieces, read, last)

    @cached_property
    def _continuation(self) -> Continuation:
        kinds = _chosen.setdefault(self.model, {})
        time = self.inputs.shape[1]
        if time not in kinds:
            kinds[time] = quickest(self.model, time)
        return kinds[time](self.model, self.inputs)

    @torch.no_grad()
    def _read(
        self, continuation: Continuation, pieces: Pieces, read: Read, last: int | None
    ) -> Tensor:
        """All rows, a few at a time; rows that begin near each other go together."""
        steps, classes = pieces.inputs.shape[1], self.plain.shape[-1]
        first = steps - min(last or steps, steps)
        rows = max(continuation.rows_at_once(steps, classes), 1)
        order, found = pieces.starts.argsort(stable=True), []
        for few in order.split(rows):
            part = Pieces(pieces.sequences[few], pieces.starts[few], pieces.inputs[few])
            at = part.starts[:, None] + torch.arange(steps, device=few.device)
            measured = self._measured(continuation.outputs(part, first), part, at, read)
            found.append(measured.where((at < self.inputs.shape[1])[..., None], torch.nan))
        return torch.cat(found)[order.argsort(), first:]

    def _measured(
        self, parts: Iterator[Part], pieces: Pieces, at: Int[Tensor, "rows steps"], read: Read
    ) -> Float[Tensor, "rows steps measures"]:
        """Read in blocks so small that they stay in the processor's own memory."""
        measured = None
        at = at.clamp(max=self.inputs.shape[1] - 1)
        for first, outputs in parts:
            rows = len(outputs)
            for few, when in _blocks(outputs):
                later = slice(first + when.start, first + when.stop)
                sequences, places = pieces.sequences[:rows][few], at[:rows][few, later]
                numbers = read(outputs[few, when], sequences, places)
                if measured is None:
                    measured = numbers.new_zeros(*at.shape, numbers.shape[-1])
                measured[:rows][few, later] = numbers
        assert measured is not None
        return measured


def _blocks(outputs: Float[Tensor, "rows steps classes"]) -> Iterator[tuple[slice, slice]]:
    """Some rows at a time; of large vocabularies also some steps."""
    rows, steps, classes = outputs.shape
    few_steps = min(max(LARGEST // classes, 1), steps)
    few_rows = max(BLOCK // (few_steps * classes), 1)
    for row, step in product(range(0, rows, few_rows), range(0, steps, few_steps)):
        yield slice(row, row + few_rows), slice(step, min(step + few_steps, steps))


def quickest(model: SequenceModel, time: int) -> type[Continuation]:
    """The quickest way to read on that gives the outputs of a full run, on inputs of this length.

    Whatever a module does not stand is a reason to run it in full.
    """
    inputs = model.example(2, time)
    starts = torch.tensor([1, time // 2, time - 1], device=inputs.device)
    rows = torch.tensor([0, 1, 0], device=inputs.device)
    pieces = Pieces(rows, starts, model.example(3, time).flip(1))
    truth = _outputs(FullRun, model, inputs, pieces)
    allowed = SAME * torch.finfo(truth.dtype).eps * truth.abs().max()
    for kind in (FromStates, FromCache):
        try:
            found = _outputs(kind, model, inputs, pieces)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            _log.debug("%s cannot be used: %s", kind.__name__, error)
            continue
        if (found - truth).abs().max() <= allowed:
            return kind
    return FullRun


def _outputs(
    kind: type[Continuation], model: SequenceModel, inputs: Tensor, pieces: Pieces
) -> Tensor:
    """All outputs at the steps of the pieces; zero beyond the end."""
    reruns = Interventions(model, inputs)
    found = reruns._read(kind(model, inputs), pieces, lambda outputs, *_: outputs, None)
    return found.nan_to_num()
