"""Which pass of a training loop it is that a tensor or a gradient belongs to."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqprobe.contracts import Observation
from seqprobe.models.loop_sites import EMBEDDING, INPUTS, LoopSite
from seqprobe.models.own_pass import Call, OwnPass, norms


@dataclass
class OwnRecord:
    """The passes since it began, the one that runs, and the one that the backward is in.

    Where a forward runs as it is, it is `open` until it ends. In compiled code it begins with the
    embedding or the inputs, and is `loose` until the next one.
    """

    scaler: torch.amp.GradScaler | None
    passes: list[OwnPass] = field(default_factory=list)
    open: OwnPass | None = None
    loose: OwnPass | None = None
    returning: OwnPass | None = None

    def begin(self) -> OwnPass:
        """A forward begins."""
        seen = OwnPass()
        self.passes.append(seen)
        return seen

    def call(self, site: LoopSite, tensor: Tensor, given: Tensor) -> tuple[OwnPass, Call] | None:
        """The call of a site that gave this tensor; None if it cannot be told.

        `given` is what the embedding was called with, or the inputs.
        """
        if tensor.ndim not in (2, 3) or not tensor.is_floating_point():
            return None
        if self.open is None and within_backward():
            return self._again(site)
        if self.open is None and site.first:
            self.loose = self.begin()
            self.loose.unseen["heads"] = "the forward is compiled, or not called as a whole"
        if (seen := self.open or self.loose) is None:
            return None
        if site.name == EMBEDDING:
            seen.inputs.append(site.tokens(given))
        elif site.name == INPUTS:
            seen.inputs.append(site.per_step(given.detach()))
        return seen, seen.call(site, tensor)

    def _again(self, site: LoopSite) -> tuple[OwnPass, Call] | None:
        """The call that gradient checkpointing repeats, within the backward.

        The first time there may have been no graph. Of several calls it is not known which it is.
        """
        if (seen := self.returning) is None:
            return None
        calls = seen.calls.get(site.name, [])
        if len(calls) > 1 and all(call.gradient is None for call in calls):
            seen.unseen[site.name] = "called more than once, within gradient checkpoints"
        return (seen, calls[0]) if len(calls) == 1 else None

    def came_back(self, seen: OwnPass, call: Call | None, gradient: Tensor) -> None:
        """The first gradient counts; the scale is what it is while the backward runs."""
        self.returning = seen
        if not seen.began and self.scaler is not None:
            seen.scale = self.scaler.get_scale()
        seen.began = True
        if call is not None and call.gradient is None:
            call.gradient = norms(call.site.per_step(gradient))

    def observations(self) -> list[Observation]:
        """One for each forward that a backward came back through."""
        found: list[Observation] = []
        for seen in self.passes:
            if seen.began and seen.inputs:
                found.append(seen.observation(sum(len(each.sequences) for each in found)))
        return found


def within_backward() -> bool:
    """Whether the backward runs, which is when gradient checkpointing runs forwards again."""
    return bool(torch._C._current_graph_task_id() != -1)
