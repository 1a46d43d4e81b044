"""Attention read while a forward of the user's own runs, in training mode; its numbers stay."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from seqprobe.errors import ModelError
from seqprobe.estimators.head_rows import HeadRows, distance_bins
from seqprobe.models.attended import attended
from seqprobe.models.calling import undisturbed
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.unnoticed import unnoticed

QUERIES = 32
_SKIPS = nn.TransformerEncoder | nn.TransformerEncoderLayer | nn.MultiheadAttention


class HeadsOfOwnForward:
    """What heads do between `begin` and `end`, on 32 queries of every sequence.

    In training a sequence is as long as it is, which may also be a size of something else in the
    model. So the modules that attend, and how many times, are found out once, on a sequence whose
    length is none. A module that seems to attend more often than that is refused.
    """

    def __init__(self, model: SequenceModel) -> None:
        self._module = model.module
        self._known, self._unread = _calls(model)
        self._open = ExitStack()
        self._rows, self._time = HeadRows(0, QUERIES, distance_bins(1)), 0
        self._refused: Mapping[str, str] = {}
        self._closed: Mapping[str, str] = {}

    def begin(self, batch: int, time: int) -> None:
        """From now on calls are read, until `end`; nothing is read where that changes numbers."""
        self._open.close()
        self._rows, self._time = HeadRows(batch, QUERIES, distance_bins(time)), time
        self._refused, self._closed = {}, _closed(self._module)
        if self._known and not self._closed:
            reading = attended(self._module, batch, time, self._rows.read, own=True)
            self._refused = self._open.enter_context(reading)

    def end(self, *, failed: bool) -> Mapping[str, np.ndarray]:
        """Rows as those of a run of ours; nothing if the forward failed, or without attention."""
        self._open.close()
        if failed or not (self._known or self._unread):
            return {}
        refused = {site: why for site, why in self._refused.items() if site in self._known}
        too_many = self._too_many()
        refused |= {**self._unread, **self._closed, **too_many}
        return self._rows.without(too_many).evidence(self._time, refused)

    def _too_many(self) -> dict[str, str]:
        """At this length something else looks like attention, and they cannot be told apart."""
        return {
            site: f"{count} products look like attention over {self._time} steps, but "
            f"{self._known[site]} are on sequences of another length"
            for site, count in Counter(self._rows.sites).items()
            if count > self._known[site]
        }


def _calls(model: SequenceModel) -> tuple[Counter[str], Mapping[str, str]]:
    """How many calls of each module can be read, and of which modules none can be."""
    inputs, known = model.example(2), Counter[str]()
    read = lambda call: known.update([call.site])  # noqa: E731
    with unnoticed(model.module), undisturbed(model.module), torch.no_grad():
        try:
            batch, time = inputs.shape[:2]
            with attended(model.module, batch, time, read, own=True) as refused:
                model.run(inputs)
        except ModelError as error:
            return Counter(), {"": f"{error}"}
    return known, refused


def _closed(module: nn.Module) -> Mapping[str, str]:
    """Modules that would compute in another way when watched."""
    if torch.compiler.is_compiling():
        return {"": "the model is compiled"}
    return {path: why for path, part in module.named_modules() if (why := _why_closed(part))}


def _why_closed(part: nn.Module) -> str:
    if hasattr(part, "_orig_mod") or part._compiled_call_impl is not None:
        return "it is compiled"
    frozen = not any(parameter.requires_grad for parameter in part.parameters())
    if isinstance(part, _SKIPS) and frozen and not part.training:
        return "it is frozen and in evaluation mode, where PyTorch skips its parts"
    return ""
