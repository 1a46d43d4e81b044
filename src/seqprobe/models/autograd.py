"""Gradients of any module, by automatic differentiation.

Where the model is causal the graph is cut at the target: a shorter forward, shared by several
targets, costs less than going back through steps that cannot matter.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from seqprobe.contracts import Derivatives, Gradients
from seqprobe.errors import ModelError, NotApplicable
from seqprobe.models import refusals
from seqprobe.models.observed import Observed

SHARED, BATCHED = 16, 4
_WORTH_CUTTING = 0.95
_ABOVE_TINY = 1e3


class Autograd(Derivatives):
    """One vector-Jacobian product after the other, on graphs that several targets share.

    `observe` runs the module on the first steps of the inputs and keeps the graph.

    Raises:
        NotApplicable: there is no gradient, and which module is to blame.
    """

    def __init__(
        self,
        module: nn.Module,
        observe: Callable[[Tensor], Observed],
        inputs: Tensor,
        *,
        causal: bool,
    ) -> None:
        self._module, self._observe, self._inputs, self._causal = module, observe, inputs, causal
        try:
            self._graph: Observed | None = observe(inputs)
        except ModelError as error:
            raise self._in_place(error) if refusals.is_in_place(error) else error from error
        self.observed = self._graph.without_graph()
        self.floor = math.log(_ABOVE_TINY * torch.finfo(self._graph.leaf.dtype).tiny)
        if not self._graph.outputs.requires_grad:
            raise refusals.cut(module, lambda: observe(inputs))
        sites = self._graph.differentiable()
        self._widths = {name: state.shape[-1] for name, state in sites.items()}

    @property
    def widths(self) -> Mapping[str, int]:
        return self._widths

    def gradients(
        self,
        site: str,
        steps: Int[Tensor, "batch targets"],
        cotangents: Float[Tensor, "batch targets vectors width"],
        window: int,
    ) -> Gradients:
        shape = (*cotangents.shape[:3], window + 1)
        logs = torch.full(shape, -math.inf, dtype=torch.float64)
        ahead = torch.full(shape, -math.inf, dtype=torch.float64)
        order = steps.amax(0).argsort(descending=True)
        with denormals_flushed():
            for block in order.split(SHARED):
                length = int(steps[:, block].max()) + 1
                for target in block.tolist():
                    for vector in range(cotangents.shape[2]):
                        squares = self._squared_norms(
                            length, site, steps[:, target], cotangents[:, target, vector]
                        ).log()
                        back = steps[:, target, None].cpu() - torch.arange(window + 1)
                        logs[:, target, vector] = _at(back, squares)
                        ahead[:, target, vector] = _at(2 * back[:, :1] - back, squares)
        return Gradients(logs, ahead)

    def jacobian(
        self,
        site: str,
        step: int,
        sources: Int[Tensor, " sources"],
        directions: Float[Tensor, "directions width"] | None = None,
    ) -> Float[Tensor, "batch sources rows embedding"]:
        """D (v . state_step) / d e_s for the given s and v, or all rows; a few at a time."""
        observed = self._upto(step + 1)
        chosen, embeddings = observed.differentiable()[site][:, step], observed.leaf
        every = torch.eye(chosen.shape[-1]) if directions is None else directions
        rows = []
        with denormals_flushed():
            for few in every.to(chosen).unsqueeze(1).split(BATCHED):
                (gradient,) = torch.autograd.grad(
                    chosen,
                    embeddings,
                    few.expand(-1, len(chosen), -1),
                    retain_graph=True,
                    is_grads_batched=True,
                )
                rows.append(gradient[:, :, sources.to(gradient.device)])
        return torch.cat(rows).permute(1, 2, 0, 3)

    def _squared_norms(
        self,
        length: int,
        site: str,
        steps: Int[Tensor, " batch"],
        cotangents: Float[Tensor, "batch width"],
    ) -> Float64[Tensor, "batch time"]:
        """||d (v . state_t) / d e_s||^2 for all s, one target t and one direction v each."""
        observed = self._upto(length)

        def scalar(observed: Observed) -> Tensor:
            state = observed.differentiable()[site]
            chosen = state[torch.arange(len(steps)), steps.to(state.device)]
            return (chosen * cotangents.to(chosen)).sum()

        try:
            (gradient,) = torch.autograd.grad(
                scalar(observed), observed.leaf, retain_graph=True, materialize_grads=True
            )
        except RuntimeError as error:
            raise self._in_place(error) if refusals.is_in_place(error) else error from error
        if not gradient.isfinite().all():
            raise refusals.not_finite(self._module, lambda: scalar(self._observe(self._inputs)))
        return gradient.double().square().sum(-1).cpu()

    def _in_place(self, error: Exception) -> NotApplicable:
        run = partial(self._observe, self._inputs)
        return refusals.changed_in_place(self._module, run, error)

    def _upto(self, length: int) -> Observed:
        """The graph of the first steps, if that spares a good part of the whole.

        There is one graph at a time: the one before is let go of first.
        """
        whole = self._inputs.shape[1]
        if not self._causal or length > _WORTH_CUTTING * whole:
            length = whole
        if self._graph is None or self._graph.outputs.shape[1] != length:
            self._graph = None
            self._graph = self._observe(self._inputs[:, :length])
        return self._graph


def _at(
    steps: Int[Tensor, "batch distances"], values: Float64[Tensor, "batch time"]
) -> Float64[Tensor, "batch distances"]:
    """-inf beyond both ends."""
    last = values.shape[1] - 1
    found = values.gather(1, steps.clamp(0, last))
    return torch.where((steps >= 0) & (steps <= last), found, -math.inf)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers too small for full precision count as zero; on most processors they cost 100 times
    as much as others, and a gradient that decays is full of them.
    """
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    flushing = float(smallest / 2) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushing)
