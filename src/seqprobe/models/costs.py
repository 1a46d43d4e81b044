"""What it costs to run a model: bytes kept, bytes carried, seconds, and what the device can do."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seqprobe.contracts import Carried, Trace
from seqprobe.errors import ModelError, NotApplicable
from seqprobe.models.by_prefix import ByPrefix
from seqprobe.models.calling import evaluating, undisturbed
from seqprobe.models.carrying import CACHES, returned_with_cache
from seqprobe.models.clock import timed
from seqprobe.models.machine import ceilings
from seqprobe.models.sequence_model import SequenceModel


class Costs:
    """The costs of one model on the device where it is."""

    def __init__(self, model: SequenceModel) -> None:
        self.model = model
        self._traces: dict[tuple[int, tuple[int, ...]], Trace] = {}

    def trace(self, inputs: Tensor, sources: Sequence[int] = ()) -> Trace:
        """How the outputs come about, operator by operator; each length is followed once.

        Raises:
            NotApplicable: no paths are asked for, and the work is not that of the module itself.
        """
        if not sources:
            self._itself()
        key = inputs.shape[1], tuple(sources)
        if key not in self._traces:
            self._traces[key] = self.model.trace(inputs, sources)
        return self._traces[key]

    def parameters(self) -> int:
        """Bytes of all parameters and buffers; tied ones count once."""
        storages = {t.untyped_storage()._cdata: t.nbytes for t in self.model.tensors()}
        return sum(storages.values())

    def saved(self, inputs: Tensor) -> int:
        """Bytes that a forward keeps for its backward; each storage counts once."""
        module = self._itself()
        own = {t.untyped_storage()._cdata for t in self.model.tensors()}
        with as_in_training(module), kept_for_backward() as kept:
            outputs = self.model.run(inputs[:1].clone())  # a view would keep all of the batch
        del outputs
        return sum(storage.nbytes() for key, storage in kept.items() if key not in own)

    def seconds(self, inputs: Tensor, *, backward: bool = False) -> float:
        """Of one forward, or of one forward and backward of all parameters."""
        module = self._itself()
        with as_in_training(module) if backward else self._inference():
            work = partial(self._run_and_back if backward else self.model.run, inputs[:1])
            return timed(work, self.model.device)

    def _run_and_back(self, inputs: Tensor) -> None:
        wanted = [p for p in self.model.module.parameters() if p.requires_grad]
        if not wanted:
            raise NotApplicable("the model has no parameters: there is nothing to train")
        with _let_go_of(wanted):
            self.model.run(inputs).float().sum().backward()

    def peak(self, inputs: Tensor) -> int | None:
        """Bytes of the device at the height of a forward and backward, above what was there."""
        device = self.model.device
        if device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        self.seconds(inputs, backward=True)
        return torch.cuda.max_memory_allocated(device) - before

    def ceilings(self) -> tuple[float, float]:
        """A large matrix product in the model's precision, and a copy beyond all caches."""
        return ceilings(self.model.device, self.model.dtype)

    def carried(self, inputs: Tensor) -> Carried:
        """From the model's own cache if it returns one, else from the modules that mix."""
        self._itself()
        if not self.model.causal:
            return Carried(None, None, reason="outputs depend on later inputs: all is read again")
        lengths = [inputs.shape[1] * quarters // 4 for quarters in (2, 3, 4)]
        caches = [self._cache(inputs[:1, :length]) for length in lengths]
        by_modules = self._by_modules(inputs)
        if all(caches):
            return replace(_line(lengths, caches), linear=by_modules.linear)
        return by_modules

    def _cache(self, inputs: Tensor) -> int:
        """Bytes of the model's own cache; zero where it returns none, or fails when asked."""
        try:
            return _cache_bytes(returned_with_cache(self.model, inputs))
        except ModelError:
            return 0

    def _itself(self) -> nn.Module:
        """The module, whose runs are those that are paid for.

        Raises:
            NotApplicable: they are not.
        """
        if isinstance(self.model.module, ByPrefix):
            raise NotApplicable("it is asked again at every step, which costs more than one answer")
        return self.model.module

    def _by_modules(self, inputs: Tensor) -> Carried:
        parts = dict.fromkeys((mixer.path, mixer.kind) for mixer in self.model.kinds)
        holders = {mixer.path for mixer in self.model.kinds if mixer.holds(self.model.kinds)}
        state = 0
        for path, kind in parts:
            module = self.model.module.get_submodule(path)
            own = _state_bytes(module) if kind in ("recurrent", "convolution") else 0
            if own is None or kind in ("unknown", "state space") or path in holders:
                where = path or "the model's own code"
                return Carried(None, None, reason=f"what {where} has to keep is unknown")
            state += own
        attention = [path for path, kind in parts if kind == "attention"]
        with self._inference(), _KeysAndValues() as seen, seen.within(self.model.module, attention):
            self.model.run(inputs[:1])
        if own_code := [path for path in attention if not seen.inside[path]]:
            where = own_code[0] or "the model's own code"
            return Carried(None, None, reason=f"{where} keeps its keys and values in its own code")
        per_token = seen.bytes // inputs.shape[1]
        told_by = "sizes of states, keys and values"
        return Carried(state, per_token, told_by, linear=seen.squared or None)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        with undisturbed(self.model.module), torch.no_grad():
            yield


@contextmanager
def kept_for_backward() -> Iterator[dict[int, UntypedStorage]]:
    """Storages that autograd saves within this context; they stay alive, so none counts twice."""
    kept: dict[int, UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


@contextmanager
def as_in_training(module: nn.Module) -> Iterator[None]:
    """Gradients as the user trains, without dropout and without changing running statistics.

    Fused recurrences refuse a backward in evaluation mode; they train, with dropout zero. Of a
    model that is frozen as a whole, all parameters train.

    Raises:
        NotApplicable: parameters are not all in memory.
    """
    parameters = list(module.parameters())
    if any(parameter.is_meta for parameter in parameters):
        raise NotApplicable(
            "parameters are brought into memory only when they are used, which costs more than "
            "the model itself"
        )
    frozen = [] if any(p.requires_grad for p in parameters) else parameters
    thawed = [p.requires_grad_() for p in frozen if p.is_floating_point()]
    recurrent = [part for part in module.modules() if isinstance(part, nn.RNNBase)]
    dropouts = [part.dropout for part in recurrent]
    with evaluating(module), torch.enable_grad():
        for part in recurrent:
            part.training, part.dropout = True, 0.0
        try:
            yield
        finally:
            for part, dropout in zip(recurrent, dropouts, strict=True):
                part.dropout = dropout
            for parameter in thawed:
                parameter.requires_grad_(False)


@contextmanager
def _let_go_of(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Gradients of a backward go as soon as they are there; those that were there stay."""
    before = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    handles = [p.register_post_accumulate_grad_hook(_drop_gradient) for p in parameters]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient


def _drop_gradient(parameter: Tensor) -> None:
    parameter.grad = None


class _KeysAndValues(TorchFunctionMode):
    """Counts the bytes of keys and values in calls of attention that are known by name.

    `squared` are those of a matrix from keys to values for each head.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.squared = 0
        self.inside: Counter[str] = Counter()

    @contextmanager
    def within(self, module: nn.Module, paths: Sequence[str]) -> Iterator[None]:
        """Within this context they are also counted for each of some submodules."""
        with ExitStack() as stack:
            for path in paths:
                part = module.get_submodule(path)
                enter, leave = (partial(self._pass, path, sign) for sign in (-1, 1))
                stack.enter_context(part.register_forward_pre_hook(enter))
                stack.enter_context(part.register_forward_hook(leave))
            yield

    def _pass(self, path: str, sign: int, *_: Any) -> None:
        self.inside[path] += sign * self.bytes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.scaled_dot_product_attention, F.multi_head_attention_forward):
            whole = func is F.multi_head_attention_forward  # (time, batch, width), heads together
            names = ("query", "key", "value", *(("embed_dim_to_check", "num_heads") * whole))
            given = dict(zip(names, args, strict=False)) | kwargs
            key, value = given["key"], given["value"]
            self.bytes += key.nbytes + value.nbytes
            width = value.shape[-1] // (given["num_heads"] if whole else 1)
            self.squared += key.nbytes // key.shape[0 if whole else -2] * width
        return func(*args, **kwargs)


def _state_bytes(module: nn.Module) -> int | None:
    """What recurrences and convolutions keep between steps; None if there are none inside."""
    found = [_numbers(part) * _itemsize(part) for part in module.modules()]
    return sum(found) or None


def _numbers(part: nn.Module) -> int:
    """Hidden and cell states of all layers, or the inputs that a kernel still needs."""
    if isinstance(part, nn.RNNBase):
        hidden = part.proj_size or part.hidden_size
        cell = part.hidden_size if isinstance(part, nn.LSTM) else 0
        return part.num_layers * (hidden + cell)
    if isinstance(part, nn.RNNCellBase):
        return part.hidden_size * (2 if isinstance(part, nn.LSTMCell) else 1)
    if isinstance(part, nn.Conv1d):
        return (part.kernel_size[0] - 1) * part.dilation[0] * part.in_channels
    return 0


def _itemsize(part: nn.Module) -> int:
    return next((p.element_size() for p in part.parameters()), 0)


def _line(lengths: Sequence[int], caches: Sequence[int]) -> Carried:
    """A state and bytes for each token, if the caches of three lengths lie on one line."""
    per_token, rest = divmod(caches[2] - caches[0], lengths[2] - lengths[0])
    state = caches[2] - per_token * lengths[2]
    if rest or state < 0 or caches[1] != state + per_token * lengths[1]:
        sizes, steps = (", ".join(map(str, numbers)) for numbers in (caches, lengths))
        grows = f"its cache has {sizes} bytes after {steps} tokens"
        return Carried(None, None, reason=f"{grows}: not the same for each token")
    return Carried(state, per_token, "the model's own cache")


def _cache_bytes(returned: Any) -> int:
    """Of the cache that a model returns beside its outputs, if it does.

    A tensor that is there twice counts once, so do numbers that one repeats; counters are none.
    """
    named = [getattr(returned, name, None) for name in CACHES]
    found = [
        t for cache in named for t in _tensors_of(cache) if t.numel() > 1 or t.is_floating_point()
    ]
    tensors = {(t.data_ptr(), t.shape, t.dtype): t for t in found}
    return sum(min(t.nbytes, t.untyped_storage().nbytes()) for t in tensors.values())


def _tensors_of(cache: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, dictionaries and plain objects."""
    if isinstance(cache, Tensor):
        yield cache
    elif isinstance(cache, dict):
        for value in cache.values():
            yield from _tensors_of(value)
    elif isinstance(cache, list | tuple):
        for value in cache:
            yield from _tensors_of(value)
    elif hasattr(cache, "__dict__") and not isinstance(cache, nn.Module):
        yield from _tensors_of(vars(cache))
