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
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seqprobe.contracts import AttentionCall, AttentionRows
from seqprobe.estimators.precise import precise
from seqprobe.models.fused import Fused, Rows, relative_difference, watched

_SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}
_PRODUCTS = {torch.matmul, Tensor.matmul, torch.bmm, Tensor.bmm}
_DROPOUT = {F.dropout, torch.dropout}


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
def attended(
    module: nn.Module, batch: int, time: int, read: Read, *, own: bool = False
) -> Iterator[dict[str, str]]:
    """Within this context `read` is called with every call of attention, in their order.

    `time` may not be the size of anything else in the model. Gives the modules whose weights
    cannot be told, with the reasons; it is complete when the context ends. `own` is for a forward
    of the user's own: where it drops weights they are those before, and no fault in reading them
    ends it.
    """
    place: list[str] = []
    with ExitStack() as stack:
        for path, part in module.named_modules():
            if path:
                enter = part.register_forward_pre_hook(partial(_enter, place, path))
                leave = part.register_forward_hook(partial(_leave, place), always_call=True)
                stack.callback(enter.remove)
                stack.callback(leave.remove)
        tap = stack.enter_context(_Tap(batch, time, read, place, own))
        yield tap.refused
        tap.flush()


def _enter(place: list[str], path: str, *_: Any) -> None:
    place.append(path)


def _leave(place: list[str], *_: Any) -> None:
    place.pop()


class _Tap(TorchFunctionMode):
    """Sees every function of torch that the model calls; `place` ends with the module it is in.

    What dropout made of weights over positions is kept beside what they were, until they are
    multiplied with values.
    """

    def __init__(self, batch: int, time: int, read: Read, place: list[str], own: bool) -> None:
        super().__init__()
        self.batch, self.time, self.read, self.place, self.own = batch, time, read, place, own
        self.softmax_in: str | None = None
        self.dropped: tuple[Tensor, Tensor] | None = None
        self.refused: dict[str, str] = {}
        self._readers: dict[Any, Callable[..., None]] = {
            F.scaled_dot_product_attention: self._fused_call,
            torch.einsum: self._einsum,
            **dict.fromkeys(_SOFTMAX, self._softmax),
            **dict.fromkeys(_PRODUCTS, self._product),
            **dict.fromkeys(_DROPOUT, self._dropout),
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._multi_head(func, args, kwargs)
        result = func(*args, **kwargs)
        if func in self._readers:
            with self._reading(), torch.autocast(result.device.type, enabled=False):
                self._readers[func](result, *args, **kwargs)
        return result

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Without gradients; a forward that is not ours goes on whatever happens here."""
        try:
            with torch.no_grad():
                yield
        except Exception as error:
            if not self.own:
                raise
            self._refuse(f"reading it failed: {type(error).__name__}: {error}")

    @property
    def _site(self) -> str:
        return self.place[-1] if self.place else ""

    def _over_positions(self, weights: Any) -> bool:
        return isinstance(weights, Tensor) and weights.shape[-2:] == (self.time, self.time)

    def _multi_head(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Inside this function no mode is active, so the call that it makes is replaced.

        Where weights are asked for it makes none; then it runs once more without them, and without
        dropout, which would draw random numbers.
        """
        given = inspect.signature(func).bind(*args, **kwargs)
        given.apply_defaults()
        asked = given.arguments
        result, calls = watched(func, given)
        dropped, doubt = bool(asked["training"] and asked["dropout_p"]), 0.0
        with self._reading():
            if asked["need_weights"]:
                asked |= {"need_weights": False, "training": False}
                again, calls = watched(func, given)
                doubt = 0.0 if dropped and self.own else relative_difference(again[0], result[0])
            with torch.autocast(result[0].device.type, enabled=False):
                for output, shown, named in calls:
                    self._fused(output, Fused.of(*shown, **named), doubt, dropped=dropped)
        return result

    def _fused_call(self, output: Tensor, *args: Any, **kwargs: Any) -> None:
        fused = Fused.of(*args, **kwargs)
        self._fused(output, fused, dropped=fused.dropout > 0)

    def _fused(self, output: Tensor, fused: Fused, doubt: float = 0.0, *, dropped: bool) -> None:
        """Where weights were dropped their product with the values cannot be foretold."""
        queries, keys = fused.query.shape[-2], fused.key.shape[-2]
        if (queries, keys) != (self.time, self.time):
            self._refuse(
                f"its {queries} queries and {keys} keys are not the {self.time} steps of the "
                "sequence"
            )
            return
        unchecked = self.own and dropped
        difference = math.nan if unchecked else doubt + fused.difference(output)
        if not (unchecked or difference <= math.sqrt(torch.finfo(output.dtype).eps)):
            self._refuse(
                "weights computed from its queries and keys do not give its output "
                f"(relative difference {difference:.1e})"
            )
            return
        self._found(fused.norms(), fused.rows, difference)

    def _softmax(self, result: Tensor, *_: Any, **__: Any) -> None:
        if self._over_positions(result):
            self.flush()
            self.softmax_in = self._site

    def _dropout(
        self,
        result: Tensor,
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        _inplace: bool = False,
        *,
        train: bool = True,
        **_: Any,
    ) -> None:
        if p > 0 and training and train and self._over_positions(result):
            self.dropped = (input, result)

    def _product(self, _result: Tensor, *operands: Any, **named: Any) -> None:
        """Weights that are multiplied with values, if there was a softmax over positions before."""
        if self.softmax_in is None:
            return
        weights, values = (*operands, *named.values())[:2]
        if self._over_positions(weights) and values.ndim > 1:
            self._written(weights, precise(values).norm(dim=-1))

    def _einsum(self, _result: Tensor, equation: Any, *operands: Any) -> None:
        """The same product, written with letters."""
        if (
            self.softmax_in is None
            or len(operands) != 2
            or not self._over_positions(operands[0])
            or "." in equation
        ):
            return
        terms, _, product = equation.replace(" ", "").partition("->")
        weights, values = terms.split(",")
        query, key = weights[-2:]
        over_keys = key in values and key not in product and query not in values
        if over_keys and self._over_positions(operands[0]):
            shared = "".join(letter for letter in weights if letter in values)
            squares = precise(operands[1]).square()
            self._written(operands[0], torch.einsum(f"{values}->{shared}", squares).sqrt())

    def _written(self, weights: Tensor, norms: Tensor) -> None:
        before = self._before_dropout(weights)
        self.softmax_in = self.dropped = None
        if before is None:
            self._refuse("its weights were changed after dropout, or dropped in place")
            return
        weights = precise(before)
        lowest = float(weights.amin())
        if not (math.isfinite(lowest) and lowest >= 0):
            self._refuse("some of its weights are below zero or not finite")
            return
        lead = torch.broadcast_shapes(weights.shape[:-2], norms.shape[:-1])
        weights, norms = weights.expand(*lead, -1, -1), norms.expand(*lead, -1)
        self._found(norms, partial(_written_rows, weights), 0.0)

    def _before_dropout(self, weights: Tensor) -> Tensor | None:
        if self.dropped is None:
            return weights
        before, after = self.dropped
        return before if weights is after is not before else None

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
        self.softmax_in = self.dropped = None


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
