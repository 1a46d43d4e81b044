"""What every operator reads: one rule per kind of operator.

A rule gives the rows of the output (see `paths`), laid out against the output's axes. Arithmetic
counts as one operator, moving data as none. A factor that is exactly zero lets nothing of the
other one pass: an attention weight of zero is no path.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from seqprobe.models.paths import Join, Rows, Term, kept, laid

LARGEST = 1 << 23
INDICES = frozenset({"index", "indices"})


@dataclass(frozen=True)
class Call:
    """One executed operator: its arguments by name, and its output.

    `given` are the tensors among the arguments. `before` is what the output held if it was one of
    them. `dense` tells of tensors that are known to have no zeros. `run` is the operator itself.
    """

    name: str
    arguments: Mapping[str, Any]
    given: Sequence[Tensor]
    out: Tensor
    before: Tensor | None
    join: Join
    read: Callable[[Tensor], Rows | None]
    dense: Callable[[Tensor], bool]
    run: Callable[..., Any]

    def rows(self, name: str) -> Rows | None:
        """The rows of an argument; None if it is no tensor, or depends on no input."""
        value = self.arguments.get(name)
        return self.read(value) if isinstance(value, Tensor) else None

    def operands(self) -> list[Rows]:
        """The rows of all arguments that depend on an input."""
        return [rows for rows in map(self.read, self.given) if rows is not None]

    def nonzero(self, name: str) -> Tensor | None:
        """Where a factor lets the other one pass; None if it does so everywhere."""
        value = self.arguments[name]
        if value is self.out and self.before is not None:
            value = self.before
        if not isinstance(value, Tensor):
            return None if value else torch.tensor(False)
        return None if self.dense(value) else nonzero(value)

    def nowhere(self) -> Rows:
        """Depends on no input."""
        return torch.full((len(self.join.price), *[1] * self.out.ndim), math.inf)


def nonzero(values: Tensor) -> Tensor | None:
    """Where something is not zero; None if it is so everywhere."""
    return None if bool(values.all()) else _narrow(values != 0)


def _narrow(mask: Tensor) -> Tensor:
    """Of size one along the axes where it repeats, as that of causal attention does over heads."""
    for axis in range(mask.ndim):
        first = mask.narrow(axis, 0, 1)
        if bool((mask == first).all()):
            mask = first
    return mask


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in an argument, which may be a list of them."""
    many = value if isinstance(value, tuple | list) else (value,)
    return [each for each in many if isinstance(each, Tensor)]


Rule = Callable[[Call], Rows | None]


def alone(rule: Callable[[Call, Rows], Rows | None]) -> Rule:
    """For operators of which only the first argument depends on an input."""

    def given_rows(call: Call) -> Rows | None:
        rows = call.read(call.given[0])
        return None if rows is None or len(call.operands()) > 1 else rule(call, rows)

    return given_rows


def pointwise(call: Call) -> Rows:
    """Each element of the output reads the elements of all operands in its place."""
    return call.join(*[Term(laid(rows, call.out.ndim)) for rows in call.operands()])


def everything(call: Call) -> Rows:
    """All of the output reads all of every operand: never less than what an operator does."""
    joined = call.join(*[Term(rows.flatten(1), (1,)) for rows in call.operands()])
    return joined.view(-1, *[1] * call.out.ndim)


def copied(call: Call) -> Rows:
    """The same numbers elsewhere, or in another format."""
    rows = call.rows("src" if "src" in call.arguments else "self")
    return call.nowhere() if rows is None else laid(rows, call.out.ndim)


def filled(call: Call) -> Rows:
    """One number everywhere."""
    rows = call.rows("value")
    return call.nowhere() if rows is None else laid(rows, call.out.ndim)


def fresh(call: Call) -> Rows:
    """Numbers in which no input has a part."""
    return call.nowhere()


def addition(call: Call) -> Rows:
    """A sum of two; nothing passes an infinity that is given, as in masks of attention."""
    given = [t for t in call.given if t is not call.out and call.read(t) is None]
    return kept(pointwise(call), given[0].isfinite() if given else None)


def product_of_two(call: Call) -> Rows:
    """Each factor passes where the other one is not zero."""
    return call.join(*_factors(call, "self", "other"))


def added_product(call: Call) -> Rows:
    """`self + tensor1 * tensor2`."""
    terms = _factors(call, "tensor1", "tensor2")
    rows = call.rows("self")
    return call.join(*terms, *([] if rows is None else [Term(laid(rows, call.out.ndim))]))


def _factors(call: Call, *names: str) -> list[Term]:
    axes, terms = call.out.ndim, []
    for name, other in (names, names[::-1]):
        rows = call.rows(name)
        if rows is not None:
            terms.append(Term(kept(laid(rows, axes), call.nonzero(other))))
    return terms


def where(call: Call) -> Rows:
    """The condition, and whichever side it chooses."""
    condition = call.arguments["condition"]
    sides = {"self": condition, "other": ~condition}
    return _chosen(call, "condition", sides)


def masked_fill(call: Call) -> Rows:
    """The mask, and what it leaves or fills in."""
    mask = call.arguments["mask"]
    return _chosen(call, "mask", {"self": ~mask, "value": mask})


def _chosen(call: Call, condition: str, sides: Mapping[str, Tensor]) -> Rows:
    axes = call.out.ndim
    parts = [(call.rows(condition), None), *((call.rows(n), mask) for n, mask in sides.items())]
    return call.join.moved(
        *[kept(laid(rows, axes), mask) for rows, mask in parts if rows is not None]
    )


def contraction(call: Call) -> Rows:
    """A product of matrices (.., m, k) and (.., k, n), or of vectors; something may be added."""
    names = [name for name, value in call.arguments.items() if isinstance(value, Tensor)]
    *added, first, second = names
    row, column = (call.arguments[name].ndim == 1 for name in (first, second))
    a, passes_a = _matrix(call, first, -2 if row else None)
    b, passes_b = _matrix(call, second, -1 if column else None)
    terms = []
    if a is not None:
        terms.append(_masked(a.unsqueeze(-1), passes_b, -3))
    if b is not None:
        terms.append(_masked(b.unsqueeze(-3), passes_a, -1))
    for rows in [rows for rows in map(call.rows, added) if rows is not None]:
        whole = laid(rows, call.out.ndim)
        terms.append(((whole.unsqueeze(-1) if column else whole).unsqueeze(-2), None))
    joined = _joined(call, terms)
    return joined.squeeze([axis for axis, dropped in ((-2, row), (-1, column)) if dropped])


def _matrix(call: Call, name: str, missing: int | None) -> tuple[Rows | None, Tensor | None]:
    """Rows of a factor, and where it is not zero; a vector gets the axis that is missing."""
    rows, passes = call.rows(name), call.nonzero(name)
    if missing is None:
        return rows, passes
    return (
        None if rows is None else rows.unsqueeze(missing),
        None if passes is None else passes.unsqueeze(missing),
    )


def _masked(rows: Rows, passes: Tensor | None, axis: int) -> tuple[Rows, Tensor | None]:
    """With where the other factor passes, in (.., m, k, n).

    Where nothing changes along the sum, it is enough that anything passes.
    """
    if passes is None:
        return rows, None
    passes = passes.unsqueeze(axis)
    return rows, passes.any(-2, keepdim=True) if rows.shape[-2] == 1 else passes


def _joined(call: Call, terms: list[tuple[Rows, Tensor | None]]) -> Rows:
    """Over the last axis but one, some columns at a time if all would not fit into memory."""
    shapes: list[tuple[int, ...]] = [rows.shape for rows, _ in terms]
    shapes += [(1, *passes.shape) for _, passes in terms if passes is not None]
    whole = torch.broadcast_shapes(*shapes)
    columns = whole[-1]
    few = max(1, LARGEST * columns // math.prod(whole))
    edges = [*range(0, columns, few), columns]
    parts = [
        call.join(*[Term(_some(rows, passes, start, stop), (-2,)) for rows, passes in terms])
        for start, stop in pairwise(edges)
    ]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)).squeeze(-2)


def _some(rows: Rows, passes: Tensor | None, start: int, stop: int) -> Rows:
    """Columns from start to stop."""
    rows = rows if rows.shape[-1] == 1 else rows[..., start:stop]
    if passes is not None and passes.shape[-1] > 1:
        passes = passes[..., start:stop]
    return kept(rows, passes)


@alone
def reduction(call: Call, rows: Rows) -> Rows:
    """Sums, means, extremes and norms over some axes, or all."""
    over = _axes(call.arguments.get("dim"), rows.ndim - 1)
    joined = call.join(Term(rows, over))
    return joined if call.out.ndim == rows.ndim - 1 else joined.squeeze(over)


@alone
def line(call: Call, rows: Rows) -> Rows:
    """Sorting and the like: each element reads the whole line that it lies in."""
    return call.join(Term(rows, _axes(call.arguments.get("dim", -1), rows.ndim - 1)))


@alone
def softmax(call: Call, rows: Rows) -> Rows:
    """Each weight reads its line, apart from what has no weight at all."""
    weighs = _narrow(call.out != (-math.inf if "log" in call.name else 0))
    joined = call.join(Term(kept(rows, weighs), _axes(call.arguments["dim"], rows.ndim - 1)))
    return kept(joined, weighs)


@alone
def gated(call: Call, rows: Rows) -> Rows:
    """The two halves of an axis."""
    (axis,) = _axes(call.arguments["dim"], rows.ndim - 1)
    halves = rows.chunk(2, axis) if rows.shape[axis] > 1 else (rows,)
    return call.join(*map(Term, halves))


@alone
def cumulation(call: Call, rows: Rows) -> Rows:
    """Each element reads those before it along an axis, and itself."""
    (axis,) = _axes(call.arguments["dim"], call.out.ndim)
    length = call.out.shape[axis - 1]
    rows = rows.movedim(axis, -1)
    rows = rows.expand(*rows.shape[:-1], length).unsqueeze(-1)
    before = torch.ones(length, length, dtype=torch.bool).triu()
    return _joined(call, [(rows, before)]).movedim(-1, axis)


@alone
def layer_norm(call: Call, rows: Rows) -> Rows:
    """Over the last axes; scale and shift are element by element."""
    over = tuple(range(-len(call.arguments["normalized_shape"]), 0))
    return call.join(Term(rows, over))


@alone
def group_norm(call: Call, rows: Rows) -> Rows:
    """Over time and the channels of a group."""
    channels, groups = call.out.shape[1], call.arguments["group"]
    if rows.shape[2] == 1:
        return call.join(Term(rows, tuple(range(2, rows.ndim))))
    grouped = rows.unflatten(2, (groups, channels // groups))
    joined = call.join(Term(grouped, tuple(range(3, grouped.ndim))))
    return joined.expand(-1, -1, -1, channels // groups, *joined.shape[4:]).flatten(2, 3)


@alone
def batch_norm(call: Call, rows: Rows) -> Rows | None:
    """In evaluation mode an operator like any other on single elements."""
    return None if call.arguments.get("training") else call.join(Term(rows))


@alone
def convolution(call: Call, rows: Rows) -> Rows | None:
    """One term for each place of the kernel; a weight of zero is no path."""
    given = call.arguments
    if given["transposed"]:
        return None
    weight, out = given["weight"], call.out
    terms = []
    for tap in product(*[range(size) for size in weight.shape[2:]]):
        passes = weight[(..., *tap)] != 0
        if passes.any():
            seen = _under(tap, rows, given, out.shape[2:])
            terms.append(_channels(seen, passes, given["groups"]))
    if not terms:
        return call.nowhere()
    joined = call.join(*terms).squeeze(4)
    if joined.shape[2] > 1:
        joined = joined.expand(-1, -1, -1, out.shape[1] // given["groups"], *[-1] * (rows.ndim - 3))
    return joined.flatten(2, 3)


def _under(tap: tuple[int, ...], rows: Rows, given: Mapping[str, Any], sizes: Any) -> Rows:
    """What one place of the kernel sees, for every place of the output."""
    for axis, (offset, size) in enumerate(zip(tap, sizes, strict=True)):
        stride, padding, dilation = (
            given[name][axis] for name in ("stride", "padding", "dilation")
        )
        first = offset * dilation - padding
        places = first + stride * torch.arange(size)
        length = given["input"].shape[2 + axis]
        line = rows.expand(*[-1] * (3 + axis), length, *[-1] * (rows.ndim - 4 - axis))
        seen = line.index_select(3 + axis, places.clamp(0, length - 1))
        inside = ((places >= 0) & (places < length)).view(-1, *[1] * (rows.ndim - 4 - axis))
        rows = torch.where(inside, seen, math.inf)
    return rows


def _channels(seen: Rows, passes: Tensor, groups: int) -> Term:
    """From the channels of each group to its outputs, (rows, batch, group, out, in, ..)."""
    out, inside = passes.shape
    spatial = [1] * (seen.ndim - 3)
    mask = passes.view(groups, out // groups, inside, *spatial)
    grouped = seen.unflatten(2, (groups, 1, inside) if seen.shape[2] > 1 else (1, 1, 1))
    if seen.shape[2] == 1:
        mask = mask.any(2, keepdim=True)
    return Term(kept(grouped, mask), (4,))


def concatenation(call: Call) -> Rows:
    """Side by side; what depends on no input leaves a gap without a path."""
    tensors = [tensor for tensor in call.arguments["tensors"] if tensor.numel()]
    parts = [call.read(tensor) for tensor in tensors]
    dim = call.arguments.get("dim", 0) % call.out.ndim
    if call.name == "stack":
        tensors = [tensor.unsqueeze(dim) for tensor in tensors]
        parts = [None if rows is None else rows.unsqueeze(dim + 1) for rows in parts]
    common = torch.broadcast_shapes(
        *[(*r.shape[1 : dim + 1], 1, *r.shape[dim + 2 :]) for r in parts if r is not None]
    )
    count = next(len(rows) for rows in parts if rows is not None)
    filled = []
    for tensor, rows in zip(tensors, parts, strict=True):
        shape = (*common[:dim], tensor.shape[dim], *common[dim + 1 :])
        filled.append(
            torch.full((count, *shape), math.inf) if rows is None else rows.expand(-1, *shape)
        )
    return torch.cat(filled, dim=dim + 1)


def embedding(call: Call) -> Rows | None:
    """A row of the table for each index."""
    index, table = call.rows("indices"), call.rows("weight")
    return None if table is not None or index is None else index.unsqueeze(-1)


def scattered(call: Call) -> Rows | None:
    """A number written at computed places: any place of a line may be the one."""
    index, own = call.rows("index"), call.rows("self")
    if index is None:
        return relocation(call)
    if call.rows("src") is not None or "reduce" in call.arguments:
        return None
    places = index.amin(call.arguments["dim"] % call.out.ndim + 1, keepdim=True)
    return places if own is None else call.join.moved(places, own)


def indexed(call: Call) -> Rows | None:
    """The element at a place, which may be computed."""
    places = call.arguments["indices"]
    given = [axis for axis, place in enumerate(places) if place is not None]
    axes = max(places[axis].ndim for axis in given)
    first = given[0] if given[-1] - given[0] == len(given) - 1 else 0
    read = [rows for rows in map(call.read, tensors_in(places)) if rows is not None]
    if read and any(place.dtype == torch.bool for place in tensors_in(places)):
        return None
    after = [1] * (call.out.ndim - first - axes)
    broad = [laid(rows, axes) for rows in read]
    chosen = [rows.view(-1, *[1] * first, *rows.shape[1:], *after) for rows in broad]
    return _relocated(call, ["self"], chosen)


def gathered(call: Call) -> Rows:
    """The element at a place, which may be computed."""
    index = call.rows("index")
    return _relocated(call, ["self"], [] if index is None else [index])


def relocation(call: Call) -> Rows | None:
    """Elements put elsewhere, at places that are given; nothing may be added up."""
    named = [call.arguments[name] for name in INDICES & call.arguments.keys()]
    computed = any(call.read(tensor) is not None for each in named for tensor in tensors_in(each))
    if computed or call.arguments.get("accumulate") or "reduce" in call.arguments:
        return None
    data = [name for name, value in call.arguments.items() if isinstance(value, Tensor)]
    return _relocated(call, [name for name in data if name not in INDICES])


def _relocated(call: Call, data: Sequence[str], places: Sequence[Rows] = ()) -> Rows:
    """The operator itself, run on the numbers of elements, says which goes where."""
    numbers, parts, count = {}, [call.nowhere().flatten(1)], 1
    for name in data:
        shape, rows = call.arguments[name].shape, call.rows(name)
        numbers[name] = torch.zeros(shape, dtype=torch.float64)
        if rows is not None:
            numbers[name] += torch.arange(count, count + shape.numel()).view(shape)
            parts.append(rows.expand(-1, *shape).flatten(1))
            count += shape.numel()
    if len(parts) == 1:
        return call.join.moved(*places)
    fill = {"value": 0} if isinstance(call.arguments.get("value"), int | float) else {}
    goes = call.run(**{**call.arguments, **numbers, **fill}).long()
    return call.join.moved(_constant_axes(torch.cat(parts, dim=1)[:, goes]), *places)


def _constant_axes(rows: Rows) -> Rows:
    """With axes of size one where nothing changes."""
    for axis in range(rows.ndim - 1, 0, -1):
        first = rows.narrow(axis, 0, 1)
        if torch.equal(rows, first.expand_as(rows)):
            rows = first
    return rows


def _axes(dim: Any, axes: int) -> tuple[int, ...]:
    """Axes of rows, which have one more in front."""
    if dim is None or dim == []:
        return tuple(range(1, axes + 1))
    return tuple(d % max(axes, 1) + 1 for d in ([dim] if isinstance(dim, int) else dim))


RULES: dict[str, Rule] = {
    name: rule
    for rule, names in {
        copied: "clone copy _to_copy",
        filled: "fill",
        pointwise: "__rshift__ __lshift__ complex polar hardswish log_sigmoid_forward floor_divide "
        "_prelu_kernel",
        fresh: "zero zeros_like ones_like full_like empty_like new_zeros new_ones new_full "
        "new_empty new_empty_strided rand_like randn_like uniform",
        addition: "add sub",
        product_of_two: "mul",
        added_product: "addcmul",
        where: "where",
        masked_fill: "masked_fill",
        contraction: "mm addmm bmm baddbmm mv addmv dot",
        reduction: "sum mean amax amin max min any all prod var std var_mean std_mean norm "
        "linalg_vector_norm logsumexp argmax argmin count_nonzero aminmax median",
        line: "sort topk _fft_c2c _fft_r2c _fft_c2r",
        softmax: "_softmax _safe_softmax _log_softmax",
        gated: "glu",
        cumulation: "cumsum cumprod cummax cummin logcumsumexp",
        layer_norm: "native_layer_norm",
        group_norm: "native_group_norm",
        batch_norm: "native_batch_norm _native_batch_norm_legit_no_training",
        convolution: "convolution",
        concatenation: "cat stack",
        embedding: "embedding",
        scattered: "scatter",
        indexed: "index",
        gathered: "gather",
        relocation: "index_select roll flip constant_pad_nd repeat tril triu "
        "slice_scatter select_scatter index_put index_copy diag_embed unfold_copy "
        "reflection_pad1d replication_pad1d",
    }.items()
    for name in names.split()
}
"""By the name of the operator without its overload; others are `pointwise` if torch says so."""
