"""One run of a module, followed operator by operator.

Fused kernels are taken apart: on the CPU, without oneDNN and with attention as plain matrix
products, even `nn.LSTM` runs step by step. Beside the numbers go the paths that lead to them.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from seqprobe.contracts import Trace
from seqprobe.models.operators import RULES, Call, Rule, everything, pointwise, tensors_in
from seqprobe.models.paths import CHAIN, FIRST, LATEST, Join, Ledger, Rows

PRODUCTS = {getattr(torch.ops.aten, name) for name in ("mm", "bmm", "mv", "dot")}
SUMS_OF_PRODUCTS = {getattr(torch.ops.aten, name) for name in ("addmm", "baddbmm", "addmv")}


def trace(
    module: nn.Module,
    inputs: Tensor,
    run: Callable[[Tensor], Tensor],
    sources: Sequence[int] = (),
) -> tuple[Tensor, Trace]:
    """The outputs (1, time, classes) of `run(inputs)` for one sequence, and how they came about.

    `sources` are the positions whose paths are followed; memory grows with their number.
    """
    follower = _Follower(module, len(sources))
    inputs = inputs.clone(memory_format=torch.contiguous_format)
    rows = follower.join.start(sources, inputs.shape[1])
    follower.ledger.write(inputs, rows.view(len(rows), 1, -1, *[1] * (inputs.ndim - 2)))
    with torch.no_grad(), taken_apart(), follower:
        outputs = run(inputs)
    return outputs, follower.found(outputs)


@contextmanager
def taken_apart() -> Iterator[None]:
    """Within this context fused operators run as the plain ones that they are made of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32 acceleration")
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield


class _Follower(TorchDispatchMode):
    """Follows every operator that runs."""

    def __init__(self, module: nn.Module, sources: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.join = Join(sources)
        self.ledger = Ledger(len(self.join.price))
        self.flops = self.touched = 0
        self.without_rule: dict[str, None] = {}
        self._last = ""
        self._dense = {_storage(p) for p in module.parameters() if not p.is_meta and bool(p.all())}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled: leave out the guard that each operator would pass."""
        return False

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, kind = kwargs or {}, _kind(func)
        if kind.composite:
            with self:
                return func.decompose(*args, **kwargs)
        if kind.view:
            return func(*args, **kwargs)
        given = [t for value in (*args, *kwargs.values()) for t in tensors_in(value)]
        followed = any(map(self.ledger.knows, given))
        before = args[0].clone() if kind.factor and followed else None
        out = func(*args, **kwargs)
        results = tensors_in(out)
        if kind.writes or not _is_view(results, given):
            self.flops += _flops(func, args, kwargs, out)
            self.touched += sum(map(_bytes, (*given, *results)))
            if followed and kind.unary:
                self.ledger.charge(out, self.join.price)
            elif followed:
                arguments = {**kind.defaults, **dict(zip(kind.names, args, strict=False)), **kwargs}
                call = Call(
                    kind.name, arguments, given, results[0], before,
                    self.join, self.ledger.read, self._is_dense, func,
                )  # fmt: skip
                self._follow(call, kind.rule, results)
        elif followed and not results:
            self._hand_out(kind.name, given[0], out)
        if results:
            self._last = kind.name
        return out

    def _hand_out(self, name: str, tensor: Tensor, number: Any) -> None:
        """Python goes on with a number, and where to is not known.

        The extremes of indices are looked at to see whether they are in range, nothing more.
        """
        in_range = self._last in {"min", "max", "aminmax"} and not tensor.is_floating_point()
        if number is not None and not in_range:
            self.without_rule[name] = None

    def _follow(self, call: Call, rule: Rule | None, results: Sequence[Tensor]) -> None:
        """Of further outputs, such as the statistics of a norm, those that fit are as exact."""
        rows = rule(call) if rule else None
        if rows is None or not _fits(rows, call.out):
            self.without_rule[call.name] = None
            rows = everything(call)
        self.ledger.write(call.out, rows)
        for result in results[1:]:
            fits = _fits(rows, result)
            self.ledger.write(result, rows if fits else everything(replace(call, out=result)))

    def _is_dense(self, tensor: Tensor) -> bool:
        return _storage(tensor) in self._dense

    def found(self, outputs: Float[Tensor, "1 time classes"]) -> Trace:
        """Of the run that is over: any class of an output will do."""
        rows = self.ledger.read(outputs)
        if rows is None:
            rows = torch.full((len(self.join.price), 1, 1, 1), math.inf)
        crossings, time = self.join.crossings, outputs.shape[1]
        rows = rows.expand(-1, 1, time, -1).clone()
        rows[crossings:] += -rows[LATEST] < torch.arange(time).unsqueeze(-1)  # moved there
        least = rows.amin(3).squeeze(1)
        chains = -least[CHAIN][least[CHAIN].isfinite()]
        return Trace(
            operations=least[FIRST:crossings].T.numpy(),
            crossings=least[crossings:].T.numpy(),
            depth=int(chains.max()) if len(chains) else 0,
            flops=self.flops,
            touched=self.touched,
            without_rule=tuple(self.without_rule),
        )


@dataclass(frozen=True)
class _Kind:
    """What the schema of an operator says.

    `composite`: made of others, into which `torch.inference_mode` does not take it apart; `view`:
    it computes nothing; `writes`: into its own argument; `factor`: that is then also a factor,
    whose old value matters; `unary`: it reads nothing else.
    """

    name: str
    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    composite: bool
    view: bool
    writes: bool
    factor: bool
    unary: bool
    rule: Rule | None


@cache
def _kind(func: Any) -> _Kind:
    schema, name = func._schema, func.overloadpacket.__name__
    writes = torch.Tag.inplace_view not in func.tags and schema.is_mutable
    if writes and name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    default = pointwise if torch.Tag.pointwise in func.tags else None
    rule = None if any(a.is_out for a in schema.arguments) else RULES.get(name, default)
    tensors = sum("Tensor" in str(argument.type) for argument in schema.arguments)
    return _Kind(
        name,
        tuple(argument.name for argument in schema.arguments),
        {a.name: a.default_value for a in schema.arguments if a.has_default_value()},
        torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"),
        any(r.alias_info and not r.alias_info.is_write for r in schema.returns),
        writes,
        writes and name in {"mul", "addcmul"},
        writes and rule is pointwise and tensors == 1,
        rule,
    )


def _is_view(results: Sequence[Tensor], given: Sequence[Tensor]) -> bool:
    """Whether outputs lie in the memory of arguments, so that they have their paths already."""
    storages = {_storage(tensor) for tensor in given}
    return all(_storage(tensor) in storages for tensor in results)


def _flops(func: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> int:
    """Of matrix products and convolutions; a multiplication and an addition are two."""
    kind = func.overloadpacket
    if kind in PRODUCTS or kind in SUMS_OF_PRODUCTS:
        return int(2 * out.numel() * args[kind in SUMS_OF_PRODUCTS].shape[-1])
    formula = flop_registry.get(kind)
    return int(formula(*args, **kwargs, out_val=out)) if formula else 0


def _bytes(tensor: Tensor) -> int:
    """What has to be read or written of a tensor; parts that it repeats count once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _fits(rows: Rows, tensor: Tensor) -> bool:
    """Whether rows can be broadcast to a tensor."""
    shape = rows.shape[1:]
    if shape == tensor.shape:
        return True
    return len(shape) == tensor.ndim and all(
        a in (1, b) for a, b in zip(shape, tensor.shape, strict=True)
    )
