"""Exact gradients through stacked recurrences: one sweep back in time for many targets at once.

Each row is one gradient: of one sequence, one target step, one direction. All rows share the
derivatives of the steps, which are computed once, and the matrix products: they go back together,
all as far from their targets, each at a step of its own, and end at the start of the sequence.
Rows are kept at size one, and the logarithm of what was divided out beside them: no distance is
too far for the floating-point format.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.contracts import Derivatives, Gradients
from seqprobe.errors import NotApplicable
from seqprobe.models.cells import At, Linear, State
from seqprobe.models.observed import Observed

EVERY, SMALL, LARGE = 8, 1e-12, 1e12
TOGETHER = 256
RELATIVE, ROUNDING = 1e-4, 2e-6


class Sweep(Derivatives):
    """Gradients of a model in which only stacked recurrences, all running forward, mix positions.

    What lies between the last recurrence and the outputs works position by position, and is
    differentiated automatically, for all targets at once.
    """

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self._runs = list(observed.layers.values())
        self._leaves = [observed.leaf, *observed.cuts.values()]
        names = list(observed.layers)
        self._tops = [_top(names, path) for path in observed.cuts]

    @property
    def widths(self) -> Mapping[str, int]:
        sites = {"output": self.observed.outputs, **self.observed.states}
        return {name: state.shape[-1] for name, state in sites.items()}

    def gradients(
        self,
        site: str,
        steps: Int[Tensor, "batch targets"],
        cotangents: Float[Tensor, "batch targets vectors width"],
        window: int,
    ) -> Gradients:
        batch, targets, vectors = cotangents.shape[:3]
        steps = steps.to(self.observed.outputs.device)
        rows = _rows(steps, vectors, *self._entries(site, steps, cotangents))
        order = rows.steps.argsort(stable=True)
        size = TOGETHER if rows.samples is not None else max(TOGETHER // batch, 1)
        logs = torch.cat([self._follow(rows[few], window) for few in order.split(size)], dim=1)
        logs = logs[:, order.argsort()]
        if logs.isnan().any():
            raise NotApplicable(
                f"the gradient becomes NaN or infinite in module {next(iter(self.observed.cuts))!r}"
            )
        if rows.samples is None:
            logs = logs.unflatten(1, (targets, vectors)).permute(3, 1, 2, 0)
        else:
            logs = logs.unflatten(1, (batch, targets, vectors)).movedim(0, -1)
        logs = logs.cpu()
        ahead = torch.full_like(logs, -math.inf)
        ahead[..., 0] = logs[..., 0]
        return Gradients(logs, ahead)

    def _entries(
        self, site: str, steps: Tensor, cotangents: Tensor
    ) -> tuple[list[State | None], Tensor | None]:
        """Where the gradients enter the recurrence: at its states, and at its input directly."""
        entries: list[State | None] = [None] * len(self._runs)
        if site in self.observed.layers:
            layer = list(self.observed.layers).index(site)
            widths = [state.shape[-1] for state in self._runs[layer].states]
            entries[layer] = cotangents.to(self.observed.outputs).split(widths, dim=-1)
            return entries, None
        direct, *below = self._through_the_head(steps, cotangents)
        for layer, entry in zip(self._tops, below, strict=True):
            entries[layer] = None if entry is None else (entry,)
        return entries, direct

    def _through_the_head(self, steps: Tensor, cotangents: Tensor) -> list[Tensor | None]:
        """Gradients at the embeddings and at the outputs of the recurrences, at the targets."""
        at = torch.arange(len(steps), device=steps.device)[:, None], steps
        chosen, found = self.observed.outputs[at], []
        for vector in cotangents.to(chosen).unbind(2):
            total = (chosen * vector).sum()
            found.append(
                torch.autograd.grad(total, self._leaves, retain_graph=True, allow_unused=True)
            )
        return [
            None if each[0] is None else torch.stack([part[at] for part in each], dim=2)
            for each in zip(*found, strict=True)
        ]

    def _follow(self, rows: "Rows", window: int) -> Float64[Tensor, "distances rows *batch"]:
        linear = [run.linear for run in self._runs]
        states = [tuple(part[0] for part in run.states) for run in self._runs]
        return log_squared_norms(linear, rows, states, window)


@dataclass(frozen=True)
class Rows:
    """Gradients to follow, by step: of which sequence, at which step, and where they enter.

    `samples` names the sequence of each row; without it, each row stands for the whole batch, in
    a second axis. `entries` holds for every layer what each row adds to the gradient at its state
    (None: nothing); `direct` goes to the input of the target step without passing any layer.
    """

    steps: Int[Tensor, " rows"]
    entries: Sequence[State | None]
    samples: Int[Tensor, " rows"] | None = None
    direct: Float[Tensor, "rows *batch features"] | None = None

    def __getitem__(self, chosen: Tensor) -> "Rows":
        return Rows(
            self.steps[chosen],
            [entry and tuple(part[chosen] for part in entry) for entry in self.entries],
            None if self.samples is None else self.samples[chosen],
            None if self.direct is None else self.direct[chosen],
        )

    def at(self, distance: int, live: slice) -> At:
        """Where the live rows are, so many steps before their targets, in (time, batch)."""
        steps = self.steps[live] - distance
        if self.samples is not None:
            return steps, self.samples[live]
        first, last = int(steps[0]), int(steps[-1])
        consecutive = len(steps) == last - first + 1 and bool((steps.diff() == 1).all())
        return (slice(first, last + 1) if consecutive else steps,)


def _rows(
    steps: Int[Tensor, "batch targets"],
    vectors: int,
    entries: list[State | None],
    direct: Float[Tensor, "batch targets vectors features"] | None,
) -> Rows:
    """Sequences with the same targets go together, others each for itself."""
    batch, targets = steps.shape
    together = bool((steps == steps[0]).all())

    def arranged(part: Tensor) -> Tensor:
        return part.flatten(1, 2).transpose(0, 1) if together else part.flatten(0, 2)

    each = torch.arange(batch, device=steps.device).repeat_interleave(targets * vectors)
    return Rows(
        steps=(steps[0] if together else steps.flatten()).repeat_interleave(vectors),
        entries=[entry and tuple(map(arranged, entry)) for entry in entries],
        samples=None if together else each,
        direct=None if direct is None else arranged(direct),
    )


def _top(names: list[str], path: str) -> int:
    """The last layer of the recurrence at `path`."""
    prefix = f"{path}." if path else ""
    return max(index for index, name in enumerate(names) if name.startswith(f"{prefix}state_l"))


def chained(observed: Observed) -> bool:
    """Whether every recurrent layer runs forward on just what the one before it gave."""
    if not observed.layers or observed.embeddings is None:
        return False
    given = observed.embeddings.transpose(0, 1)
    for name, run in observed.layers.items():
        if name.endswith("_reverse") or not _same(run.inputs, given):
            return False
        given = run.states[0]
    return list(observed.states) == list(observed.layers)


def cut_out(observed: Observed) -> bool:
    """Whether the outputs of all recurrences are leaves of the graph."""
    paths = {name.rpartition("state_l")[0].removesuffix(".") for name in observed.layers}
    return paths == set(observed.cuts)


def step_by_step(observed: Observed) -> bool:
    """Whether no output has any gradient to embeddings or recurrences at another step.

    Exactly none: a trace of mixing outside the recurrences may be all there is far away.
    """
    leaves = [observed.leaf, *observed.cuts.values()]
    for step, outputs in enumerate(observed.outputs.unbind(1)):
        noise = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(step))
        total = (outputs * noise.to(outputs)).sum()
        found = torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True)
        if any(part[:, :step].any() or part[:, step + 1 :].any() for part in found):
            return False
    return True


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.detach(), b.detach())


def agree(ours: Derivatives, theirs: Derivatives, batch: int, time: int) -> bool:
    """Whether all gradient norms of all sites at all steps are the same.

    Small ones count as well: what is small nearby may be all there is far away.
    """
    if ours.widths != theirs.widths:
        return False
    steps = torch.arange(time).expand(batch, time)
    for site, width in ours.widths.items():
        generator = torch.Generator().manual_seed(0)
        vectors = torch.randn(batch, time, 1, width, generator=generator)
        norms, truth = (
            (each.gradients(site, steps, vectors, time - 1).log_squares / 2).exp()
            for each in (ours, theirs)
        )
        allowed = (RELATIVE * truth).clamp(min=ROUNDING * float(truth.max()))
        if not ((norms - truth).abs() <= allowed).all():
            return False
    return True


@torch.no_grad()
def log_squared_norms(
    layers: Sequence[Linear], rows: Rows, states: Sequence[State], window: int
) -> Float64[Tensor, "distances rows *batch"]:
    """Log ||d target / d input_{t-k}||^2 for k = 0 .. window; -inf for zero and before the start.

    `states` are those of all layers at some step, (batch, width).
    """
    shape = (len(rows.steps),) if rows.samples is not None else (len(rows.steps), len(states[0][0]))
    adjoint = [tuple(part.new_zeros(*shape, part.shape[-1]) for part in s) for s in states]
    _enter(adjoint, rows.entries)
    scale = states[0][0].new_zeros(shape, dtype=torch.float64)
    logs = scale.new_full((window + 1, *shape), -math.inf)
    steps = rows.steps.tolist()
    for distance in range(min(window, steps[-1]) + 1):
        live = slice(bisect_left(steps, distance), None)
        dx = _back(layers, adjoint, rows.at(distance, live), live)
        if distance == 0 and rows.direct is not None:
            dx = dx + rows.direct
        norms, extreme = _norms(dx)
        logs[distance, live] = 2 * (norms.log() + scale[live])
        if extreme or distance % EVERY == 0:
            _rescale(adjoint, scale, live)
    return logs


def _enter(adjoint: list[State], entries: Sequence[State | None]) -> None:
    for state, entry in zip(adjoint, entries, strict=True):
        for part, added in zip(state, entry or (), strict=False):
            part.copy_(added)


def _back(layers: Sequence[Linear], adjoint: list[State], at: At, live: slice) -> Tensor:
    """One step back through all layers: new gradients at the states, and the one at the input."""
    dx: Tensor | None = None
    for layer, state in zip(reversed(layers), reversed(adjoint), strict=True):
        here = tuple(part[live] for part in state)
        if dx is not None:
            here = (here[0] + dx, *here[1:])
        before, dx = layer.pull(at, here)
        for part, value in zip(state, before, strict=True):
            part[live] = value
    assert dx is not None
    return dx


def _norms(dx: Float[Tensor, "*rows features"]) -> tuple[Float64[Tensor, "*rows"], bool]:
    """The norm of every row, and whether any is so small or large that its square is not exact."""
    norms = torch.linalg.vector_norm(dx, dim=-1).double()
    if SMALL < float(norms.min()) <= float(norms.max()) < LARGE:
        return norms, False
    size = dx.abs().amax(-1, keepdim=True)
    size = torch.where(size > 0, size, 1)
    return torch.linalg.vector_norm(dx / size, dim=-1).double() * size[..., 0].double(), True


def _rescale(adjoint: list[State], scale: Tensor, live: slice) -> None:
    """Bring every row to size one; rows that are zero everywhere stay so."""
    parts = [part[live] for state in adjoint for part in state]
    size = torch.stack([part.abs().amax(-1) for part in parts]).amax(0)
    size = torch.where(size > 0, size, 1)
    for part in parts:
        part.div_(size.unsqueeze(-1))
    scale[live] += size.double().log()
