"""The forward and backward passes that a training loop makes itself, observed."""

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from seqprobe.contracts import Needs, Observation
from seqprobe.models.attending import HeadsOfOwnForward
from seqprobe.models.compiled_tap import NOBODY, enrolled, tap
from seqprobe.models.loop_sites import INPUTS, LoopSite, batch_and_time, loop_sites, place_of_inputs
from seqprobe.models.outputs import first_tensor, tensors_in
from seqprobe.models.own_gates import own_gates
from seqprobe.models.own_hook import Hook, quietly
from seqprobe.models.own_pass import Call, OwnPass
from seqprobe.models.own_record import OwnRecord
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.unnoticed import unnoticed


class OwnPasses:
    """Hooks on a model that trains; between `arm` and `taken` they see every pass.

    The passes themselves give the very same numbers. Of what goes by, norms are kept, and the
    gates of one sequence. Hooks are taken off in between, unless the model turns out to be
    compiled: there they are part of the code, and leave nothing in it while they are not armed.
    """

    def __init__(
        self, model: SequenceModel, needs: Sequence[Needs], scaler: torch.amp.GradScaler | None
    ) -> None:
        self.model, self.needs, self.scaler = model, needs, scaler
        self.armed = False
        self._gates = any(each.states for each in needs)
        self._heads: HeadsOfOwnForward | None = None
        self._sites: list[LoopSite] = []
        self._handles: list[RemovableHandle] = []
        self._record = OwnRecord(scaler)
        self._number, self._anchor = enrolled(self), torch.zeros((), requires_grad=True)
        self._tickets: dict[int, tuple[OwnPass, Call]] = {}
        self._next = count()

    def arm(self) -> None:
        """Watch all passes from now on."""
        if not self._sites:
            with unnoticed(self.model.module):
                self._sites = loop_sites(self.model)
            if any(each.attention for each in self.needs):
                self._heads = HeadsOfOwnForward(self.model)
        if not self._handles:
            self._hook()
        self.armed = True

    def taken(self) -> list[Observation]:
        """What was seen since `arm`: one for each forward that a backward came back through."""
        observations = self._record.observations()
        if not self._tickets:
            self.remove()
        self._forget()
        return observations

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._forget()

    def _forget(self) -> None:
        self.armed = False
        self._record, self._tickets = OwnRecord(self.scaler), {}
        self._close_heads()

    def _close_heads(self) -> None:
        """What an interrupted forward left open."""
        if self._heads:
            self._heads.end(failed=True)

    def _hook(self) -> None:
        root, keep = self.model.module, self._handles.append
        begin = Hook(self, self._begin, self._begin_compiled)
        keep(root.register_forward_pre_hook(begin, with_kwargs=True))
        for number, site in enumerate(self._sites):
            if site.name != INPUTS:
                called = partial(self._called, site)
                hook = Hook(self, called, partial(self._called_compiled, site, number))
                part = root.get_submodule(site.path)
                keep(part.register_forward_hook(hook, with_kwargs=True))
        keep(root.register_forward_hook(Hook(self, self._end), always_call=True))

    def _begin(self, _root: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        self._close_heads()
        self._record.open = self._record.begin() if torch.is_grad_enabled() else None
        if self._record.open is None:
            return None
        given = {**dict(enumerate(args)), **kwargs}
        if self._heads:
            quietly(self._heads.begin, *batch_and_time(self.model, given))
        return self._with_leaf(given, args)

    def _with_leaf(self, given: dict[Any, Any], args: Any) -> tuple[Any, Any] | None:
        """Real-valued inputs with a place for the gradient to come back to."""
        place = place_of_inputs(self.model, given)
        if place is None:
            return None
        if not given[place].requires_grad:
            given[place] = given[place].detach().requires_grad_().clone()
        self._watch(self._sites[0], given[place], given[place])
        return _apart(given, args)

    def _begin_compiled(self, _root: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        given = {**dict(enumerate(args)), **kwargs}
        place = place_of_inputs(self.model, given)
        if place is None:
            return None
        given[place] = tap(given[place], self._anchor, None, self._number, 0)[0]
        return _apart(given, args)

    def _called(self, site: LoopSite, part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        trains = self._record.open is not None or torch.is_grad_enabled()
        if tensor is None or not trains:
            return
        seen = self._watch(site, tensor, [*args, *kwargs.values()][0])
        if seen and self._gates and isinstance(part, nn.RNNBase):
            seen.layers |= own_gates(site.path, part, *args, **kwargs)

    def _called_compiled(
        self, site: LoopSite, number: int, _part: nn.Module, args: Any, kwargs: Any, output: Any
    ) -> Any:
        tensor = first_tensor(output)
        if tensor is None:
            return None
        tokens = [*args, *kwargs.values()][0] if site.first else None
        same, _ = tap(tensor, None, tokens, self._number, number)
        if isinstance(output, tuple):
            return tuple(same if part is tensor else part for part in output)
        return same if output is tensor else None

    def _watch(self, site: LoopSite, tensor: Tensor, given: Tensor) -> OwnPass | None:
        """The pass that this is a new call of; None if it is a repeated one, or of no pass."""
        found = self._record.call(site, tensor, given)
        if found and tensor.requires_grad:
            tensor.register_hook(Hook(self, partial(self._record.came_back, *found)))
        return found[0] if found else None

    def _end(self, _root: nn.Module, _args: Any, output: Any) -> None:
        """An output gets its gradient before the backward does anything else in the model."""
        seen, self._record.open = self._record.open, None
        if seen is None:
            return
        if self._heads:
            seen.heads = self._heads.end(failed=output is None)
        for tensor in tensors_in(output):
            if tensor.requires_grad:
                tensor.register_hook(Hook(self, partial(self._record.came_back, seen, None)))

    def came(self, site: int, tensor: Tensor, tokens: Tensor | None) -> int:
        """Compiled code has run through a site; its memory may be written to again."""
        given = (tensor if tokens is None else tokens).clone()
        found = quietly(self._record.call, self._sites[site], tensor, given)
        if not found:
            return NOBODY
        found[0].unseen["layers"] = "the model is compiled, and what is inside cannot be seen"
        self._tickets[ticket := next(self._next)] = found
        return ticket

    def went_back(self, ticket: int, gradient: Tensor) -> None:
        """Its backward has."""
        if found := self._tickets.get(ticket):
            quietly(self._record.came_back, *found, gradient)


def _apart(given: dict[Any, Any], args: Any) -> tuple[Any, Any]:
    """Arguments by position and by name."""
    count = len(args)
    return (
        tuple(given[each] for each in range(count)),
        {name: each for name, each in given.items() if not isinstance(name, int)},
    )
