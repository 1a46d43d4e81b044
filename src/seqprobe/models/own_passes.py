"""The forward and backward passes that a training loop makes itself, observed."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from seqprobe.contracts import Needs, Observation
from seqprobe.models.loop_sites import EMBEDDING, INPUTS, LoopSite, loop_sites, place_of_inputs
from seqprobe.models.outputs import first_tensor, tensors_in
from seqprobe.models.own_gates import own_gates
from seqprobe.models.own_pass import Call, OwnPass, norms
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.unnoticed import unnoticed

_log = logging.getLogger("seqprobe")


class OwnPasses:
    """Hooks on a model that trains; between `arm` and `taken` they see every pass.

    The passes themselves give the very same numbers. Of what goes by, norms are kept, and the
    gates of one sequence.
    """

    def __init__(
        self, model: SequenceModel, needs: Sequence[Needs], scaler: torch.amp.GradScaler | None
    ) -> None:
        self.model, self.needs, self.scaler = model, needs, scaler
        self.armed = False
        self._sites: list[LoopSite] | None = None
        self._handles: list[RemovableHandle] = []
        self._seen: list[OwnPass] = []
        self._open: OwnPass | None = None
        self._returning: OwnPass | None = None

    def arm(self) -> None:
        """Watch all passes from now on."""
        if not self.needs:
            return
        if self._sites is None:
            with unnoticed(self.model.module):
                self._sites = loop_sites(self.model)
        self.armed = True
        root = self.model.module
        begin, end = _Hook(self._begin), _Hook(self._end)
        self._handles.append(root.register_forward_pre_hook(begin, with_kwargs=True))
        for site in self._sites:
            part, hook = root.get_submodule(site.path), _Hook(partial(self._called, site))
            self._handles.append(part.register_forward_hook(hook, with_kwargs=True))
        self._handles.append(root.register_forward_hook(end, always_call=True))

    def taken(self) -> list[Observation]:
        """What was seen since `arm`: one for each forward that a backward came back through."""
        observations: list[Observation] = []
        first = 0
        for each in self._seen:
            if each.began and each.inputs:
                observations.append(each.observation(first))
                first += len(observations[-1].sequences)
        self.remove()
        return observations

    def remove(self) -> None:
        """Take all hooks off."""
        self.armed = False
        for handle in self._handles:
            handle.remove()
        self._handles, self._seen = [], []
        self._open = self._returning = None

    def _begin(self, _module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        self._open = self._returning = None
        if not torch.is_grad_enabled():
            return None
        self._open = OwnPass()
        self._seen.append(self._open)
        if any(site.name == EMBEDDING for site in self._sites or ()):
            return None
        return self._with_leaf(self._open, args, kwargs)

    def _with_leaf(self, seen: OwnPass, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """The same inputs; real-valued ones with a place for the gradient to come back to."""
        given = {**dict(enumerate(args)), **kwargs}
        place = place_of_inputs(self.model, given)
        if place is None:
            return None
        site = LoopSite(INPUTS, "", self.model.time_first)
        inputs = given[place]
        if not self.model.features:
            seen.inputs.append(site.tokens(inputs))
            return None
        seen.inputs.append(site.per_step(inputs.detach()))
        if not inputs.requires_grad:
            given[place] = inputs.detach().requires_grad_().clone()
        self._watch(seen, site, given[place], seen.call(INPUTS, norms(site.per_step(inputs))))
        return tuple(given[each] for each in range(len(args))), {
            name: given[name] for name in kwargs
        }

    def _end(self, _module: nn.Module, _args: Any, output: Any) -> None:
        """An output gets its gradient before the backward does anything else in the model."""
        if (seen := self._open) is None:
            return
        self._open = None
        for tensor in tensors_in(output):
            if tensor.requires_grad:
                tensor.register_hook(_Hook(partial(self._came_back, seen)))

    def _came_back(self, seen: OwnPass, _gradient: Tensor) -> None:
        self._returning = seen
        if not seen.began and self.scaler is not None:
            seen.scale = self.scaler.get_scale()
        seen.began = True

    def _called(self, site: LoopSite, part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is None or tensor.ndim not in (2, 3):
            return
        if (seen := self._open) is None:
            self._called_again(site, tensor)
            return
        if site.name == EMBEDDING:
            seen.inputs.append(site.tokens(*args, **kwargs))
        if isinstance(part, nn.RNNBase) and any(needs.states for needs in self.needs):
            seen.layers |= own_gates(site.path, part, *args, **kwargs)
        self._watch(seen, site, tensor, seen.call(site.name, norms(site.per_step(tensor))))

    def _called_again(self, site: LoopSite, tensor: Tensor) -> None:
        """By gradient checkpointing, within the backward; the first call had no gradient then."""
        if (seen := self._returning) is None:
            return
        calls = seen.calls.get(site.name, ())
        if len(calls) == 1:
            self._watch(seen, site, tensor, calls[0])
        elif tensor.requires_grad:
            seen.unseen[site.name] = "called more than once, within gradient checkpoints"

    def _watch(self, seen: OwnPass, site: LoopSite, tensor: Tensor, call: Call) -> None:
        def hook(gradient: Tensor) -> None:
            self._came_back(seen, gradient)
            if call.gradient is None:
                call.gradient = norms(site.per_step(gradient))

        if tensor.requires_grad:
            tensor.register_hook(_Hook(hook))


class _Hook:
    """Calls `do`; nothing that goes wrong there ends a training.

    Copies of a model, and saved ones, are not watched.
    """

    def __init__(self, do: Callable[..., Any] | None = None) -> None:
        self._do = do

    def __call__(self, *args: Any) -> Any:
        try:
            return self._do(*args) if self._do else None
        except Exception as error:
            _log.warning("a pass was not seen in full: %s: %s", type(error).__name__, error)
            return None

    def __reduce__(self) -> tuple[type["_Hook"], tuple[()]]:
        return _Hook, ()
