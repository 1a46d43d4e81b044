"""Reading on from the keys and values of attention.

The model's own code runs on whole sequences up to its first block. From there on everything that
has one entry per position keeps only the positions from a start on; in every call of attention the
keys and values from before are put in front of the new ones.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seqprobe.contracts import Pieces
from seqprobe.errors import NotApplicable
from seqprobe.models.continuation import Continuation, Part, inserted
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.sites import blocks


class FromCache(Continuation):
    """For causal models in which only `scaled_dot_product_attention` mixes positions; whether it
    is one, only a comparison shows.
    """

    positions = 1 << 12

    def __init__(self, model: SequenceModel, inputs: Tensor) -> None:
        super().__init__(model, inputs)
        if model.family != "attention" or not model.causal:
            raise NotApplicable("something else than causal attention mixes positions")
        paths = dict.fromkeys(blocks(model.module, [mixer.path for mixer in model.kinds]))
        self._blocks = [model.module.get_submodule(path) for path in paths]
        with _Recorded() as recorded:
            model(inputs)
        self._cache = recorded.cache

    def outputs(self, pieces: Pieces, first: int) -> Iterator[Part]:
        edited, at = inserted(self.inputs, pieces)
        start, stop = int(pieces.starts[0]), int(at.max()) + 1
        found = self._from(start, edited[:, :stop], pieces.sequences)
        rows = torch.arange(len(edited), device=at.device)[:, None]
        yield Part(first, found[rows, at[:, first:]])

    @torch.no_grad()
    def _from(
        self, start: int, edited: Tensor, sequences: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows steps classes"]:
        """Outputs of the edited sequences; nothing of use before the start."""
        with ExitStack() as stack:
            enter = partial(self._enter, start, edited.shape[1])
            leave = partial(self._leave, start)
            for part in self._blocks:
                stack.callback(part.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(self._blocks[-1].register_forward_hook(leave).remove)
            stack.enter_context(_Put(self._cache, start, sequences))
            return self.model(edited)

    def _enter(self, start: int, stop: int, _module: Any, args: Any, kwargs: Any) -> Any:
        """A block gets only what belongs to the positions from start on."""
        return self._short(args, start, stop), self._short(kwargs, start, stop)

    def _leave(self, start: int, _module: Any, _args: Any, output: Any) -> Any:
        """After the last block whatever follows gets all positions again."""
        if isinstance(output, tuple):
            return self._leave(start, _module, _args, output[0]), *output[1:]
        axis = 0 if self.model.time_first else 1
        before = output.new_zeros(*output.shape[:axis], start, *output.shape[axis + 1 :])
        return torch.cat([before, output], dim=axis)

    def _short(self, given: Any, start: int, stop: int) -> Any:
        if isinstance(given, tuple | list):
            return type(given)(self._short(each, start, stop) for each in given)
        if isinstance(given, dict):
            return {name: self._short(each, start, stop) for name, each in given.items()}
        axis = _time_axis(given, stop, 0 if self.model.time_first else 1)
        return given if axis is None else given.narrow(axis, start, stop - start)


def _time_axis(given: Any, time: int, usual: int) -> int | None:
    """Where time is: in a matrix over positions, the axis of those that look.

    Widths may be as large as the number of positions; only the usual places count.
    """
    if not isinstance(given, Tensor) or not 1 <= given.ndim <= 4:
        return None
    pair = 0 if given.shape[0] == time else 1
    axis = (0, pair, usual, 2)[given.ndim - 1]
    return axis if given.shape[axis] == time else None


class _Recorded(TorchFunctionMode):
    """Keeps keys and values of every call of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            given = _named(args, kwargs or {})
            self.cache.append((given["key"], given["value"]))
        return func(*args, **(kwargs or {}))


class _Put(TorchFunctionMode):
    """Puts keys and values from before `start` in front of those of each call of attention."""

    def __init__(
        self, cache: list[tuple[Tensor, Tensor]], start: int, sequences: Int[Tensor, " rows"]
    ) -> None:
        super().__init__()
        self.cache, self.start, self.sequences = iter(cache), start, sequences

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given, before = _named(args, kwargs or {}), next(self.cache)
        for name, kept in zip(("key", "value"), before, strict=True):
            own = kept[self.sequences, :, : self.start]
            given[name] = torch.cat([own, given[name]], dim=2)
        return func(**given | self._mask(given))

    def _mask(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Which keys are seen: rows belong to the positions from start on, columns to all."""
        queries, keys = given["query"].shape[-2], given["key"].shape[-2]
        mask = given.get("attn_mask")
        if given.get("is_causal"):
            return {"is_causal": False, "attn_mask": _causal(queries, keys, given["query"].device)}
        if mask is None or mask.shape[-1] != keys or mask.shape[-2] not in (1, queries, keys):
            raise NotApplicable("its mask is made inside")
        return {"attn_mask": mask if mask.shape[-2] == 1 else mask[..., -queries:, :]}


def _named(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _causal(queries: int, keys: int, device: torch.device) -> Bool[Tensor, "queries keys"]:
    seen = torch.ones(queries, keys, dtype=torch.bool, device=device)
    return seen.tril(keys - queries)
