"""Paths from input positions to every element of every tensor of a run.

Beside each tensor lies an array with the same axes behind one more in front, its rows:

    0                 minus the latest position that the element depends on
    1                 minus the longest chain of operators that leads to it
    2 .. 2 + S        the fewest operators on a path from each of S source positions
    2 + S .. 2 + 2S   the fewest crossings to a later position on such a path

All of them grow by joining what an operator reads with a minimum; infinity means no path. An
axis along which nothing changes has size one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

LATEST, CHAIN, FIRST = 0, 1, 2
SWEEP = 1 << 23
"""Numbers in rows that are written before those of tensors that are gone are let go of."""

Rows = Float[Tensor, "rows *_"]


@dataclass(frozen=True)
class Term:
    """One operand laid out against the output of an operator, and the axes that it sums over."""

    rows: Rows
    over: tuple[int, ...] = ()


class Join:
    """How operands make up an output: which path is the shortest, which chain the longest."""

    def __init__(self, sources: int) -> None:
        self.crossings = FIRST + sources
        self.price = torch.zeros(FIRST + 2 * sources)
        self.price[CHAIN] = -1
        self.price[FIRST : self.crossings] = 1
        toll = torch.zeros_like(self.price)
        toll[self.crossings :] = 1
        self._operator = self.price, self.price + toll
        self._move = torch.zeros_like(toll), toll

    def start(self, positions: Sequence[int], time: int) -> Float[Tensor, "rows time"]:
        """At the inputs: each position depends on itself alone."""
        rows = torch.full((len(self.price), time), math.inf)
        rows[LATEST], rows[CHAIN] = -torch.arange(time), 0
        for source, position in enumerate(positions):
            rows[FIRST + source, position] = rows[self.crossings + source, position] = 0
        return rows

    def __call__(self, *terms: Term) -> Rows:
        """One operator more; a crossing where an operand is older than the output."""
        return _joined(terms, *self._operator)

    def moved(self, *operands: Rows) -> Rows:
        """Data that is only moved or chosen: crossings, but no operator more."""
        if len(operands) == 1:
            return operands[0]
        return _joined([Term(rows) for rows in operands], *self._move)


def _joined(terms: Sequence[Term], price: Tensor, late: Tensor) -> Rows:
    """At one price for what is as late as the output, and at another for what is older."""
    axes = (-1, *[1] * (terms[0].rows.ndim - 1))
    price = price.view(axes)
    if _equally_late(terms):
        return reduce(torch.minimum, (term.rows for term in terms)) + price
    late = late.view(axes)
    latest = reduce(torch.minimum, (_least(term.rows[:CHAIN], term.over) for term in terms))
    parts = []
    for rows, over in ((term.rows, term.over) for term in terms):
        prices = torch.where(rows[:CHAIN] > latest, late, price)
        parts.append(_least(rows + prices, over))
    return reduce(torch.minimum, parts)


def _equally_late(terms: Sequence[Term]) -> bool:
    """Whether no operand is older than another one, as in most operators on single elements."""
    first, *others = terms
    if any(term.rows.shape[axis] > 1 for term in terms for axis in term.over):
        return False
    return all(torch.equal(first.rows[:CHAIN], other.rows[:CHAIN]) for other in others)


def _least(rows: Rows, over: tuple[int, ...]) -> Rows:
    return rows.amin(over, keepdim=True) if over else rows


def laid(rows: Rows, axes: int) -> Rows:
    """With as many axes as an output that the operand is broadcast to."""
    if rows.ndim == axes + 1:
        return rows
    return rows.reshape(len(rows), *[1] * (axes - rows.ndim + 1), *rows.shape[1:])


def kept(rows: Rows, passes: Tensor | None) -> Rows:
    """Only where something passes."""
    if passes is None or bool(passes.all()):
        return rows
    return torch.where(passes, rows, math.inf)


class Ledger:
    """The rows of all storages that are alive: a view shares them, and so does a write to it.

    Elements that lie side by side and have the same rows are kept as one block. The weak reference
    to a storage keeps its address from being used again.
    """

    def __init__(self, rows: int) -> None:
        self._rows, self._written = rows, 0
        self._entries: dict[int, _Entry] = {}

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor may depend on any input."""
        return tensor.numel() > 0 and self._entry(tensor) is not None

    def read(self, tensor: Tensor) -> Rows | None:
        """The rows of a tensor; None if it depends on no input."""
        entry = self._entry(tensor) if tensor.numel() else None
        if entry is None:
            return None
        return entry.as_elements_of(tensor.element_size()).view(tensor, None)

    def write(self, tensor: Tensor, rows: Rows) -> None:
        """Replace the rows of a tensor."""
        if not tensor.numel():
            return
        entry = self._entry(tensor) or self._open(tensor)
        before = entry.rows.numel()
        if tensor.is_contiguous() and tensor.numel() == entry.block == entry.whole:
            entry.fill(tensor.shape, rows)
        else:
            entry = entry.as_elements_of(tensor.element_size())
            self._entries[tensor.untyped_storage()._cdata] = entry
            same = tuple(axis for axis in range(tensor.ndim) if rows.shape[axis + 1] == 1)
            target = entry.view(tensor, same)
            target.copy_(rows.expand_as(target))
        self._written += rows.numel() + entry.rows.numel() - before

    def charge(self, tensor: Tensor, price: Float[Tensor, " rows"]) -> None:
        """Add to the rows of a tensor."""
        rows = self.read(tensor)
        if rows is not None:
            self.write(tensor, rows + price.view(-1, *[1] * tensor.ndim))

    def _entry(self, tensor: Tensor) -> "_Entry | None":
        return self._entries.get(tensor.untyped_storage()._cdata)

    def _open(self, tensor: Tensor) -> "_Entry":
        if self._written > SWEEP:
            self._entries = {k: e for k, e in self._entries.items() if not e.storage.expired()}
            self._written = 0
        storage, size = tensor.untyped_storage(), tensor.element_size()
        nothing = torch.full((self._rows, 1), math.inf)
        whole = storage.nbytes() // size
        entry = _Entry(StorageWeakRef(storage), nothing, whole, size, whole, whole)
        self._entries[storage._cdata] = entry
        return entry


@dataclass
class _Entry:
    """The rows of a storage: of blocks of elements, and again after each `period` of elements."""

    storage: StorageWeakRef
    rows: Float[Tensor, "rows blocks"]
    block: int
    itemsize: int
    period: int
    whole: int

    def fill(self, shape: tuple[int, ...], rows: Rows) -> None:
        """The rows of all elements, one block for the last axes along which nothing changes.

        Along the first ones, as over the heads of attention, they repeat.
        """
        changing = [axis for axis in range(1, rows.ndim) if rows.shape[axis] > 1] or [0]
        first, last = max(changing[0], 1), changing[-1]
        self.block, self.period = math.prod(shape[last:]), math.prod(shape[first - 1 :])
        blocks = rows.reshape(len(rows), *rows.shape[first : last + 1])
        blocks = blocks.expand(-1, *shape[first - 1 : last])
        self.rows = blocks.clone(memory_format=torch.contiguous_format).view(len(rows), -1)

    def _expanded(self) -> None:
        """Without repetition."""
        self.rows = self.rows.repeat(1, self.whole // self.period)
        self.period = self.whole

    def view(self, tensor: Tensor, same: tuple[int, ...] | None) -> Rows:
        """The rows along the axes of a tensor; blocks are cut until they fit.

        Only the axes in `same` may lie within a block, and none repeat, so that it can be written
        to; None: any may.
        """
        stride, offset = tensor.stride(), tensor.storage_offset() % self.period
        both = zip(tensor.shape, stride, strict=True)
        shape = tuple(1 if step % self.period == 0 else n for n, step in both)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if self.period < self.whole and (same is not None or last >= self.period):
            self._expanded()
            return self.view(tensor, same)
        run, sizes, strides = _layout(shape, stride, offset, self.block, same)
        if run != self.block:
            self.rows = self.rows.repeat_interleave(self.block // run, dim=1)
            self.block = run
        ahead, first = self.rows.stride(0), offset // run
        return self.rows.as_strided((self.rows.shape[0], *sizes), (ahead, *strides), first)

    def as_elements_of(self, itemsize: int) -> "_Entry":
        """The same bytes read as larger or smaller numbers, such as complex ones."""
        if itemsize == self.itemsize:
            return self
        self._expanded()
        rows, length = self.rows, self.block * self.itemsize
        if length % itemsize:
            common = math.gcd(length, itemsize)
            cells = rows.repeat_interleave(length // common, dim=1)
            rows, length = _side_by_side(cells, itemsize // common), itemsize
        whole = self.whole * self.itemsize // itemsize
        return _Entry(self.storage, rows, length // itemsize, itemsize, whole, whole)


def _side_by_side(rows: Rows, count: int) -> Rows:
    """A few neighbours taken as one; a crossing where one of them is older."""
    padded = nn.functional.pad(rows, (0, -rows.shape[1] % count), value=math.inf)
    together: Tensor = padded.unflatten(1, (-1, count))
    older = together[:CHAIN] > together[:CHAIN].amin(2, keepdim=True)
    together[(len(rows) + FIRST) // 2 :] += older
    return together.amin(2)


@lru_cache(4096)
def _layout(
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    offset: int,
    block: int,
    same: tuple[int, ...] | None,
) -> tuple[int, list[int], list[int]]:
    """Elements per block, and sizes and strides in blocks; size one for axes within a block."""
    moving = [(step, axis) for axis, step in enumerate(stride) if step > 0 and shape[axis] > 1]
    inner: set[int] = set()
    run = 1
    for step, axis in sorted(moving):
        if step != run or run * shape[axis] > block or (same is not None and axis not in same):
            break
        inner.add(axis)
        run *= shape[axis]
    outer = {axis: step for step, axis in moving if axis not in inner}
    if math.gcd(block, run, offset, *outer.values()) != run:
        run, outer = 1, {axis: step for step, axis in moving}
    sizes = [size if axis in outer else 1 for axis, size in enumerate(shape)]
    return run, sizes, [outer.get(axis, 0) // run for axis in range(len(shape))]
