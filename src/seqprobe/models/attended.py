"""The weights of attention, read while the model runs, without changing what it computes.

Fused calls (`scaled_dot_product_attention`, also within `nn.MultiheadAttention`) return no
weights: these are computed again from queries and keys, a few rows at a time. Where a model
multiplies values with a softmax of its own, that product is read.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seqprobe.contracts import AttentionCall, AttentionRows
from seqprobe.estimators.precise import precise

CHECKED_ROWS = 8
_SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}
_PRODUCTS = {torch.matmul, Tensor.matmul, torch.bmm, Tensor.bmm}

Rows = Int[Tensor, " rows"]


@dataclass(frozen=True)
class _Call:
    """See `AttentionCall`."""

    site: str
    time: int
    norms: Float[Tensor, "batch heads keys"]
    difference: float
    read: Callable[[Rows], AttentionRows]

    def rows(self, rows: Rows) -> AttentionRows:
        return self.read(rows)


Read = Callable[[AttentionCall], None]


@contextmanager
def attended(module: nn.Module, batch: int, time: int, read: Read) -> Iterator[dict[str, str]]:
    """Within this context `read` is called with every call of attention, in their order.

    `time` may not be the size of anything else in the model. Gives the modules whose weights
    cannot be told, with the reasons; it is complete when the context ends.
    """
    place: list[str] = []
    with ExitStack() as stack:
        for path, part in module.named_modules():
            enter = part.register_forward_pre_hook(partial(_enter, place, path))
            leave = part.register_forward_hook(partial(_leave, place))
            stack.callback(enter.remove)
            stack.callback(leave.remove)
        tap = stack.enter_context(_Tap(batch, time, read, place))
        yield tap.refused
        tap.flush()


def _enter(place: list[str], path: str, *_: Any) -> None:
    place.append(path)


def _leave(place: list[str], *_: Any) -> None:
    place.pop()


class _Tap(TorchFunctionMode):
    """Sees every function of torch that the model calls; `place` ends with the module it is in."""

    def __init__(self, batch: int, time: int, read: Read, place: list[str]) -> None:
        super().__init__()
        self.batch, self.time, self.read, self.place = batch, time, read, place
        self.softmax_in: str | None = None
        self.refused: dict[str, str] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._multi_head(func, args, kwargs)
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self._fused(result, _Fused.of(*args, **kwargs))
        elif func in _SOFTMAX and self._over_positions(result):
            self.flush()
            self.softmax_in = self._site
        elif func in _PRODUCTS and self.softmax_in is not None:
            self._product(*args, *kwargs.values())
        elif func is torch.einsum and self.softmax_in is not None:
            self._einsum(*args)
        return result

    @property
    def _site(self) -> str:
        return self.place[-1] if self.place else ""

    def _over_positions(self, weights: Any) -> bool:
        return isinstance(weights, Tensor) and weights.shape[-2:] == (self.time, self.time)

    def _multi_head(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Inside this function no mode is active, so the call that it makes is replaced.

        Where weights are asked for it makes none; then it runs once more without them.
        """
        given = inspect.signature(func).bind(*args, **kwargs)
        given.apply_defaults()
        result, calls = _watched(func, given)
        doubt = 0.0
        if given.arguments["need_weights"]:
            given.arguments["need_weights"] = False
            again, calls = _watched(func, given)
            doubt = _difference(again[0], result[0])
        for output, fused in calls:
            self._fused(output, fused, doubt)
        return result

    def _fused(self, output: Tensor, fused: "_Fused", doubt: float = 0.0) -> None:
        queries, keys = fused.query.shape[-2], fused.key.shape[-2]
        if (queries, keys) != (self.time, self.time):
            self._refuse(
                f"its {queries} queries and {keys} keys are not the {self.time} steps of the "
                "sequence"
            )
            return
        difference = max(doubt, fused.difference(output))
        if not difference <= math.sqrt(torch.finfo(output.dtype).eps):
            self._refuse(
                "weights computed from its queries and keys do not give its output "
                f"(relative difference {difference:.1e})"
            )
            return
        self._found(fused.norms(), fused.rows, difference)

    def _product(self, weights: Tensor, values: Tensor, *_: Any) -> None:
        """Weights that are multiplied with values, if there was a softmax over positions before."""
        if self._over_positions(weights) and values.ndim > 1:
            self._written(weights, precise(values).norm(dim=-1))

    def _einsum(self, equation: Any, *operands: Any) -> None:
        """The same product, written with letters."""
        if len(operands) != 2 or not self._over_positions(operands[0]) or "." in equation:
            return
        terms, _, product = equation.replace(" ", "").partition("->")
        weights, values = terms.split(",")
        query, key = weights[-2:]
        if key in values and key not in product and query not in values:
            shared = "".join(letter for letter in weights if letter in values)
            squares = precise(operands[1]).square()
            self._written(operands[0], torch.einsum(f"{values}->{shared}", squares).sqrt())

    def _written(self, weights: Tensor, norms: Tensor) -> None:
        self.softmax_in, weights = None, precise(weights)
        lowest = float(weights.amin())
        if not (math.isfinite(lowest) and lowest >= 0):
            self._refuse("some of its weights are below zero or not finite")
            return
        lead = torch.broadcast_shapes(weights.shape[:-2], norms.shape[:-1])
        weights, norms = weights.expand(*lead, -1, -1), norms.expand(*lead, -1)
        self._found(norms, partial(_written_rows, weights), 0.0)

    def _found(
        self, norms: Tensor, rows: Callable[[Rows], AttentionRows], difference: float
    ) -> None:
        by_sequence = _by_sequence(norms.shape[:-1], self.batch)
        if by_sequence is None:
            self._refuse(f"none of its axes is that of the {self.batch} sequences")
            return

        def read(some: Rows) -> AttentionRows:
            found = rows(some)
            return AttentionRows(by_sequence(found.weights), by_sequence(found.scores))

        in_order = by_sequence(norms.unsqueeze(-2)).squeeze(-2)
        self.read(_Call(self._site, self.time, in_order, difference, read))

    def _refuse(self, because: str) -> None:
        self.refused[self._site] = because

    def flush(self) -> None:
        """A softmax over positions that nothing was multiplied with."""
        if self.softmax_in is not None:
            self.refused[self.softmax_in] = "no product of its weights and values was found"
        self.softmax_in = None


@dataclass(frozen=True)
class _Fused:
    """What a fused call was given."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    is_causal: bool
    scale: float

    @classmethod
    def of(
        cls,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,  # noqa: ARG003 with dropout the output differs, and that is noticed
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> "_Fused":
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (part.repeat_interleave(groups, dim=-3) for part in (key, value))
        usual = query.shape[-1] ** -0.5
        return cls(query, key, value, attn_mask, is_causal, usual if scale is None else scale)

    @property
    def lead(self) -> torch.Size:
        """Sizes of the axes before rows and keys."""
        parts = self.query, self.key, self.value
        return torch.Size(torch.broadcast_shapes(*(part.shape[:-2] for part in parts)))

    def rows(self, rows: Rows) -> AttentionRows:
        """Weights (.., rows, keys), and the scores that softmax makes them of."""
        last = int(rows.max()) + 1 if self.is_causal else self.key.shape[-2]
        query = (precise(self.query[..., rows, :]) * self.scale).expand(*self.lead, -1, -1)
        scores = query @ precise(self.key[..., :last, :]).transpose(-1, -2)
        lowest = torch.finfo(scores.dtype).min
        if self.is_causal:
            first = int(rows.min())
            ahead = torch.arange(first, last, device=rows.device) > rows[:, None]
            scores[..., first:].masked_fill_(ahead, lowest)
        if self.mask is None:
            return AttentionRows(scores.softmax(-1), scores)
        mask = self.mask if self.mask.shape[-2] == 1 else self.mask[..., rows, :]
        hidden = ~mask if mask.dtype == torch.bool else mask == -math.inf
        if mask.dtype != torch.bool:
            scores = scores + precise(mask)
        scores = scores.masked_fill(hidden, lowest)
        return AttentionRows(scores.softmax(-1) * ~hidden.all(-1, keepdim=True), scores)

    def norms(self) -> Float[Tensor, "*heads keys"]:
        """Lengths of the values."""
        lengths: Tensor = precise(self.value).norm(dim=-1)
        return lengths.expand(*self.lead, -1)

    def difference(self, output: Tensor) -> float:
        """Between a few rows of the output and these weights times the values."""
        time = self.query.shape[-2]
        some = torch.linspace(0, time - 1, min(CHECKED_ROWS, time), device=output.device).long()
        weights = self.rows(some).weights
        again = weights @ precise(self.value[..., : weights.shape[-1], :])
        return _difference(again, output[..., some, :])


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))


def _watched(func: Any, given: inspect.BoundArguments) -> tuple[Any, list[tuple[Tensor, _Fused]]]:
    """What a function of torch.nn.functional returns, and the fused calls that it makes."""
    fused, calls = F.scaled_dot_product_attention, []

    def record(*args: Any, **kwargs: Any) -> Tensor:
        output: Tensor = fused(*args, **kwargs)
        calls.append((output, _Fused.of(*args, **kwargs)))
        return output

    F.scaled_dot_product_attention = record
    try:
        return func(*given.args, **given.kwargs), calls
    finally:
        F.scaled_dot_product_attention = fused


def _written_rows(weights: Tensor, rows: Rows) -> AttentionRows:
    some = weights[..., rows, :]
    return AttentionRows(some, some.clamp(min=torch.finfo(some.dtype).tiny).log())


def _by_sequence(lead: torch.Size, batch: int) -> Callable[[Tensor], Tensor] | None:
    """How to make (batch, heads, rows, keys) of (*lead, rows, keys); None if that is unknown.

    Heads may stand before or after the batch, be merged into it after it, or be missing.
    """
    if not lead:
        return (lambda maps: maps[None, None]) if batch == 1 else None
    if lead[0] == batch:
        return lambda maps: maps.flatten(1, -3) if len(lead) > 1 else maps.unsqueeze(1)
    if len(lead) == 2 and lead[1] == batch:
        return lambda maps: maps.transpose(0, 1)
    if lead[0] % batch == 0:
        return lambda maps: maps.unflatten(0, (batch, -1)).flatten(1, -3)
    return None
