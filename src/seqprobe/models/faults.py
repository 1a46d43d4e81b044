"""Why a gradient cannot be taken, or would be wrong, and in which module.

Every function watches the calls that `run()` makes and names the first module at fault by its
path as in `named_modules()`: "" is the model itself, None means that no fault was found. Modules
are found in the order in which they return, inner ones before those that hold them; what happens
in a module's own code, between its children, is that module's fault. Afterwards the module is
what it was: hooks, modes, buffers, `requires_grad`, and the state of the random numbers.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.autograd.graph import Node

from seqprobe.models.calling import undisturbed
from seqprobe.models.outputs import tensors_in
from seqprobe.models.random_state import random_state_kept


def where_graph_is_cut(module: nn.Module, run: Callable[[], Any]) -> str | None:
    """The module that gets a gradient's path and returns tensors without one: by `detach`,
    `no_grad`, `argmax`, a round trip through numpy.

    Parameters are frozen meanwhile, so that what requires a gradient depends on the inputs. If
    `run()` brings no tensor that requires one, the output of the first layer does instead. A
    module whose output does not change with its input, such as a table of positions, cuts nothing.
    """
    with torch.enable_grad(), undisturbed(module), _restored(module):
        reached, cut = _gradient_paths(module, run, start=False)
        if not reached:
            _, cut = _gradient_paths(module, run, start=True)
        return next((call.path for call in cut if _depends_on_input(call)), None)


def where_changed_in_place(module: nn.Module, run: Callable[[], Any]) -> str | None:
    """The module whose output or input was written to after it had returned.

    `run()` may raise; what had been called until then is looked at.
    """
    seen: list[tuple[str, Tensor, int]] = []

    def leave(call: "_Call") -> None:
        for tensor in (*call.outputs, *call.inputs):
            if not tensor.is_inference():
                seen.append((call.path, tensor, tensor._version))

    with _restored(module):
        with _watched(module, leave=leave), suppress(Exception):
            run()
        return next((path for path, tensor, then in seen if tensor._version != then), None)


def where_gradient_is_not_finite(module: nn.Module, run: Callable[[], Tensor]) -> str | None:
    """The module that gets finite gradients of its outputs and gives NaN or infinite ones on; but
    if some module returned NaN without having got any, the first of these.

    `run()` returns a scalar with its graph. What a module gives on is told apart from what other
    users of the same tensor give to it. None also if the fault lies outside, as in the loss.
    """
    owners: dict[Node, _Call | None] = {}
    calls: list[_Call] = []
    undefined: list[_Call] = []

    def leave(call: "_Call") -> None:
        _claim(owners, call.outputs, call)
        calls.append(call)
        if _any_nan(call.outputs) and not _any_nan(call.inputs):
            undefined.append(call)

    with torch.enable_grad(), _restored(module):
        with _watched(module, lambda call: _claim(owners, call.inputs, call.parent), leave):
            scalar = run()
        _claim(owners, [scalar], None)
        edges = _non_finite_edges(scalar, owners)
    spoiling = _crossed_outwards_only([(owners[start], owners[end]) for start, end in edges])
    suspects = [*undefined, *(call for call in calls if call in spoiling)] if edges else []
    return suspects[0].path if suspects else None


def where_rows_mix(module: nn.Module, run: Callable[[bool], Any], batch: int) -> str | None:
    """The module that lets one row of a batch change another one.

    `run(False)` and `run(True)` call the module with `batch` rows that differ in row 0 only; no
    other size in the model, least of all the number of steps, may equal `batch`.
    """
    plain, changed = (_values(module, run, edited) for edited in (False, True))
    for before, after in zip(plain, changed, strict=False):
        if before.path != after.path:
            break
        if _mixes(before, after, batch):
            return before.path
    return None


@dataclass(eq=False)
class _Call:
    """One call of a module, and the one within which it was made."""

    path: str
    part: nn.Module
    parent: "_Call | None"
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    gradients: bool
    inputs: list[Tensor]
    outputs: list[Tensor] = field(default_factory=list)


def _ignore(_call: _Call) -> None:
    pass


@contextmanager
def _watched(
    module: nn.Module,
    enter: Callable[[_Call], None] = _ignore,
    leave: Callable[[_Call], None] = _ignore,
) -> Iterator[None]:
    """Within this context every call of a module is shown before and after it is made.

    A call's outputs are what its caller gets, whatever hooks `run()` adds of its own.
    """
    running: list[_Call] = []

    def entering(path: str, last: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(part: nn.Module, args: Any, kwargs: Any) -> None:
            part._forward_hooks[last] = part._forward_hooks.pop(last)
            parent = running[-1] if running else None
            inputs = tensors_in((args, kwargs))
            call = _Call(path, part, parent, args, kwargs, torch.is_grad_enabled(), inputs)
            running.append(call)
            enter(call)

        return hook

    def leaving(part: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
        while (call := running.pop()).part is not part:
            pass  # it raised, and its parent went on
        call.outputs = tensors_in(output)
        leave(call)

    with ExitStack() as stack:
        for path, part in module.named_modules():
            after = part.register_forward_hook(leaving, with_kwargs=True)
            stack.callback(after.remove)
            enter_hook = entering(path, after.id)
            before = part.register_forward_pre_hook(enter_hook, with_kwargs=True)
            stack.callback(before.remove)
        yield


@contextmanager
def _restored(module: nn.Module) -> Iterator[None]:
    """Buffers, `requires_grad` and the state of the random numbers are put back afterwards."""
    wanted = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    buffers = [
        (part, name, buffer, buffer.clone())
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False)
    ]
    try:
        with random_state_kept(module):
            yield
    finally:
        for parameter, want in wanted:
            parameter.requires_grad_(want)
        for part, name, buffer, value in buffers:
            if not torch.equal(buffer, value):
                buffer.detach().copy_(value)
            setattr(part, name, buffer)


def _gradient_paths(
    module: nn.Module, run: Callable[[], Any], *, start: bool
) -> tuple[set[_Call], list[_Call]]:
    """The calls that a gradient's path reaches, and those among them that do not give it on.

    What is called with gradients switched off is not to blame: whoever switched them off is.
    """
    reached: set[_Call] = set()
    cut: list[_Call] = []

    def enter(call: _Call) -> None:
        if start and not reached and not any(call.part.children()):
            _require_gradients(call.part, True)
        if _any_requires_grad(call.inputs):
            reached.add(call)

    def leave(call: _Call) -> None:
        gives = _any_requires_grad(call.outputs)
        if gives and call.parent is not None:
            reached.add(call.parent)
        if call in reached and call.gradients and call.outputs and not gives:
            cut.append(call)
        if start and not any(call.part.children()):
            _require_gradients(call.part, False)

    with _watched(module, enter, leave):
        run()
    return reached, cut


def _require_gradients(part: nn.Module, want: bool) -> None:
    for parameter in part.parameters(recurse=False):
        parameter.requires_grad_(want and parameter.is_floating_point())


def _any_requires_grad(tensors: Sequence[Tensor]) -> bool:
    return any(tensor.requires_grad for tensor in tensors)


def _depends_on_input(call: _Call) -> bool:
    """Whether other numbers, where a gradient's path came in, give another output.

    True also where this cannot be told: the path came from a child, or the module refuses.
    """
    others = {id(tensor): _other(tensor) for tensor in call.inputs if tensor.requires_grad}
    if not others:
        return True
    try:
        args, kwargs = copy.deepcopy((call.args, call.kwargs), others)
        plain, other = _rerun(call, call.args, call.kwargs), _rerun(call, args, kwargs)
    except Exception:
        return True
    return not all(map(torch.equal, plain, other))


def _other(tensor: Tensor) -> Tensor:
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
    return noise.to(tensor) - tensor.detach()


def _rerun(call: _Call, args: Any, kwargs: Any) -> list[Tensor]:
    with _restored(call.part):
        return tensors_in(call.part(*args, **kwargs))


def _claim(owners: dict[Node, _Call | None], ends: Sequence[Tensor], owner: _Call | None) -> None:
    """Whatever leads to these tensors and belongs to nobody yet was computed by `owner`.

    Leaves belong to nobody: a gradient that arrives there has left every module.
    """
    found = [tensor.grad_fn for tensor in ends]
    while found:
        node = found.pop()
        if node is not None and node not in owners:
            owners[node] = None if _is_leaf(node) else owner
            found += [before for before, _ in node.next_functions]


def _is_leaf(node: Node) -> bool:
    return hasattr(node, "variable")


def _around(call: _Call | None) -> set[_Call]:
    """A call, and all those within which it was made."""
    return set() if call is None else {call} | _around(call.parent)


def _crossed_outwards_only(edges: Sequence[tuple[_Call | None, _Call | None]]) -> set[_Call]:
    """The calls that some of the edges leave and none enters."""
    left, entered = set[_Call](), set[_Call]()
    for start, end in edges:
        left |= _around(start) - _around(end)
        entered |= _around(end) - _around(start)
    return left - entered


def _non_finite_edges(scalar: Tensor, nodes: dict[Node, _Call | None]) -> list[tuple[Node, Node]]:
    """Along which edges of the graph NaN or infinity flows back; none if it reaches no leaf."""
    edges: list[tuple[Node, Node]] = []

    def watch(node: Node) -> Callable[[Any, Any], None]:
        def hook(gradients: Any, _arrived: Any) -> None:
            for (end, _), gradient in zip(node.next_functions, gradients, strict=False):
                if end is not None and not _is_finite(gradient):
                    edges.append((node, end))

        return hook

    leaves = [node.variable for node in nodes if _is_leaf(node)]  # type: ignore[attr-defined]
    if not leaves:
        return []
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.register_hook(watch(node)).remove)
        gradients = torch.autograd.grad(scalar, leaves, retain_graph=True, allow_unused=True)
    return [] if all(map(_is_finite, gradients)) else edges


def _any_nan(tensors: Sequence[Tensor]) -> bool:
    return any(bool(tensor.isnan().any()) for tensor in tensors)


def _is_finite(gradient: Tensor | None) -> bool:
    if gradient is None:
        return True
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return bool(values.isfinite().all())


def _values(module: nn.Module, run: Callable[[bool], Any], edited: bool) -> list[_Call]:
    """All calls with copies of what went in and came out: tensors may be written to later."""
    calls: list[_Call] = []

    def enter(call: _Call) -> None:
        call.inputs = [tensor.detach().clone() for tensor in call.inputs]

    def leave(call: _Call) -> None:
        call.outputs = [tensor.detach().clone() for tensor in call.outputs]
        calls.append(call)

    with _restored(module), _watched(module, enter, leave):
        run(edited)
    return calls


def _mixes(before: _Call, after: _Call, batch: int) -> bool:
    """Whether a change of row 0 alone comes out in other rows.

    Rows are looked for where there are `batch` of them, and in (batch x time, ..) if the input
    was of this kind already.
    """
    got = _differences(before.inputs, after.inputs)
    if got is None or not all(_only_first_row(change, batch) for change in got):
        return False
    lengths = {change.shape[0] for change in got if change.any()}
    returned = [
        change
        for change in _differences(before.outputs, after.outputs) or ()
        if batch in change.shape[:2] or (change.ndim > 0 and change.shape[0] in lengths)
    ]
    return not all(_only_first_row(change, batch) for change in returned)


def _differences(
    before: Sequence[Tensor], after: Sequence[Tensor]
) -> list[Bool[Tensor, "..."]] | None:
    """Where two runs differ; None if their shapes do."""
    if [tensor.shape for tensor in before] != [tensor.shape for tensor in after]:
        return None
    return [(a != b) & ~(a.isnan() & b.isnan()) for a, b in zip(before, after, strict=True)]


def _only_first_row(change: Bool[Tensor, "..."], batch: int) -> bool:
    """Whether nothing changed, or row 0 alone in one way to read the tensor as rows."""
    return not change.any() or any(not rows[1:].any() for rows in _as_rows(change, batch))


def _as_rows(change: Bool[Tensor, "..."], batch: int) -> list[Bool[Tensor, "rows ..."]]:
    """Batch-first or time-first; failing that, both with time and batch flattened into one."""
    axes = [axis for axis, size in enumerate(change.shape[:2]) if size == batch]
    if axes or change.ndim == 0 or change.shape[0] % batch:
        return [change.movedim(axis, 0) for axis in axes]
    return [change.unflatten(0, (batch, -1)), change.unflatten(0, (-1, batch)).movedim(1, 0)]
