"""One face for any `nn.Module` that reads sequences; its maths is never copied."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.contracts import Attended, AttentionCall, Mixer, Trace
from seqprobe.errors import ModelError, NotApplicable, UsageError
from seqprobe.models import refusals
from seqprobe.models.attended import attended
from seqprobe.models.autograd import Autograd
from seqprobe.models.calling import call, undisturbed
from seqprobe.models.copied import on_the_cpu, tensors
from seqprobe.models.embedding import find_embedding, leaf_at
from seqprobe.models.mixers import find_mixers
from seqprobe.models.observed import Observed
from seqprobe.models.outputs import per_step_heads, per_step_outputs
from seqprobe.models.sites import Watched, blocks, existing, watched
from seqprobe.models.stack import Stack
from seqprobe.models.sweep import Sweep, agree, chained, cut_out, step_by_step
from seqprobe.models.trace import trace

SITES = 8
"""Blocks whose states are observed, besides those that the user names."""
Inputs = Int[Tensor, "batch time"] | Float[Tensor, "batch time features"]
Outputs = Float[Tensor, "batch time classes"]
Predicts = Literal["next", "values", "classes"]


class SequenceModel:
    """Wrap a live module: inputs are (batch, time, ..), outputs (batch, time, classes).

    `model(inputs)` gives the very numbers of the user's module, whose parameters, mode and
    gradients are left as they were.

    Args:
        module: maps tokens (batch, time) or features (batch, time, features) to outputs per
            step; it may also be time-first, which is found out by measuring.
        vocab_size: how many tokens there are; read from the embedding if not given.
        features: width of real-valued inputs, for modules that take no tokens.
        sites: dotted names of modules whose output (batch, time, width) is a state to observe,
            in addition to the recurrent layers and attention blocks that are found.
        head: which output is measured, where the module returns several per step: its key, its
            field, or its place in a tuple ("1"); without it the logits, or else the first.
        predicts: what the outputs of a module for real-valued inputs are: the `next` inputs, other
            `values`, or scores of `classes`. Without it they are taken for the next inputs where
            they predict them better than their mean does, else for other values. Of a module for
            tokens: `classes` where outputs as many as tokens are not scores of the next one.
        grid: rows and columns, where the inputs are the patches of an image: position p is that at
            divmod(p, columns). All sequences have rows * columns steps then, and the outputs are
            one for each patch; a class token that the module adds inside is no input.

    Raises:
        ModelError: the module cannot be run, or returns no such output per step; the sequence is
            not as long as the grid.
        UsageError: a site is no module of the model; `predicts` or `grid` does not fit it.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        vocab_size: int | None = None,
        features: int | None = None,
        sites: Sequence[str] = (),
        head: str | None = None,
        predicts: Predicts | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        self.module = module
        self.features, self.head = features, head
        self.predicts: Predicts | None = _possible(predicts, features)
        self.grid = _rows_and_columns(grid)
        self.vocab_size = vocab_size or (None if features else _smallest_embedding(module))
        self.time_first = False
        self.trained_length: int | None = None
        self.asked_sites = existing(module, sites)
        tokens = self.example(3)
        self.embedding = None if features else find_embedding(module, tokens, lambda: self(tokens))
        if vocab_size is None and self.embedding:
            self.vocab_size = self._embedding().num_embeddings
        self.time_first, self.mixes_batch_rows = self._orientation()
        if features and predicts == "next" and (said := self(tokens).shape[-1]) > features:
            raise _no_prediction(predicts, f"{said} outputs for {features} features")

    def __call__(self, inputs: Inputs) -> Outputs:
        """The plain forward, in evaluation mode, without gradients."""
        with undisturbed(self.module), torch.no_grad():
            return self.run(inputs)

    def run(self, inputs: Inputs) -> Outputs:
        """The forward in whatever mode the module is, with gradients if they are enabled.

        Outputs come back to where the inputs are, whatever devices the module is split over.
        """
        batch, time = inputs.shape[:2]
        if self.grid and time != math.prod(self.grid):
            raise _off_the_grid(self.grid, time, type(self.module).__name__)
        returned = self.returned(inputs)
        outputs = per_step_outputs(returned, batch, time, self.time_first, self.head)
        return outputs.to(inputs.device)

    def returned(self, inputs: Inputs, **more: Any) -> Any:
        """Whatever the module itself returns, which may be more than its outputs."""
        return call(self.module, inputs.transpose(0, 1) if self.time_first else inputs, **more)

    def observe(
        self,
        inputs: Inputs,
        *,
        gradients: bool = True,
        cut: bool = False,
        unrolled: bool = True,
        embeddings: Float[Tensor, "batch time embedding"] | None = None,
    ) -> Observed:
        """The forward with recurrent layers unrolled, states kept and embeddings as leaves.

        `cut` takes recurrences out of the graph: their outputs are new leaves. Without `unrolled`
        they run as they are, and no states are kept. `embeddings` go in place of what the
        embedding makes of the inputs.
        """
        leaves: list[Tensor] = []
        with undisturbed(self.module), torch.set_grad_enabled(gradients), ExitStack() as stack:
            if unrolled:
                seen = stack.enter_context(
                    watched(self.module, self.hooked_sites, self.time_first, cut=cut)
                )
            else:
                seen = Watched()
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            if self.embedding:
                leaf = leaf_at(self._embedding(), self.time_first, leaves.append, embeddings)
                stack.enter_context(leaf)
            elif self.features:
                inputs = inputs.detach() if embeddings is None else embeddings
                leaves.append(inputs.requires_grad_(gradients or inputs.requires_grad))
            outputs = self.run(inputs)
        return Observed(
            outputs,
            self._per_step(seen.states, *outputs.shape[:2]) if unrolled else {},
            leaves[0] if leaves else None,
            {name: runs[0] for name, runs in seen.layers.items() if len(runs) == 1},
            {path: cuts[0] for path, cuts in seen.cuts.items() if len(cuts) == 1},
        )

    def derivatives(self, inputs: Inputs, *, states: bool = True) -> Sweep | Autograd:
        """Gradients of outputs and states on these inputs: by a sweep where that is exact.

        Without `states`, of outputs alone, by one plain backward for each: the least that a few
        gradients cost, in the model's precision.

        Raises:
            NotApplicable: there are none, or they would be wrong; the message says why and where.
        """
        if self.mixes_batch_rows:
            raise self._rows_mix
        if not states:
            fused = partial(self.observe, unrolled=False)
            return Autograd(self.module, fused, inputs, causal=self._cuttable)
        if self.sweepable:
            observed = self.observe(inputs, cut=True)
            if chained(observed) and cut_out(observed):
                return Sweep(observed)
        return Autograd(self.module, self.observe, inputs, causal=self._cuttable)

    @cached_property
    def _rows_mix(self) -> NotApplicable:
        inputs = self.example(self._unmistakable(3, 1))
        edited = self._edited(inputs, 0, row=0)
        return refusals.rows_mix(
            self.module, lambda change: self(edited if change else inputs), len(inputs)
        )

    def attend(self, inputs: Inputs, read: Callable[[AttentionCall], None]) -> Attended:
        """The plain forward; `read` is called with every call of attention while it runs.

        Sequences are cut to a length that is no size of any parameter, so that weights over
        positions cannot be mistaken.

        Raises:
            NotApplicable: there is no such length.
        """
        length = self._unmistakable(inputs.shape[1], -1)
        if length < 2:
            raise NotApplicable(
                f"sequences of {inputs.shape[1]} steps are too short for this model"
            )
        few = inputs[:, :length]
        with (
            undisturbed(self.module),
            torch.no_grad(),
            attended(self.module, len(few), length, read) as refused,
        ):
            outputs = self.run(few)
        return Attended(outputs, refused)

    def from_embeddings(
        self, inputs: Inputs, embeddings: Float[Tensor, "batch time embedding"]
    ) -> Outputs:
        """The outputs for these embeddings in place of those of the inputs; the graph is kept."""
        repeated = inputs.repeat(len(embeddings) // len(inputs), *[1] * (inputs.ndim - 1))
        return self.observe(repeated, embeddings=embeddings).outputs

    def recurrence(self, observed: Observed) -> Stack | None:
        """The whole state as a map from step to step, if stacked recurrences are all there is."""
        if self.sweepable and chained(observed):
            return Stack(list(observed.layers.values()))
        return None

    @cached_property
    def sweepable(self) -> bool:
        """Whether only stacked recurrences that run forward mix positions.

        Held against automatic differentiation on a short sequence: whatever else the module
        does between its parts would show there.
        """
        parts = [self.module.get_submodule(mixer.path) for mixer in self.kinds]
        devices = {each.device for each in self.tensors()}
        if not (
            parts and all(isinstance(part, nn.RNNBase) for part in parts) and len(devices) == 1
        ):
            return False
        if any(part.bidirectional for part in parts) or self.hooked_sites or self.mixes_batch_rows:
            return False
        inputs = self.example(2)
        observed = self.observe(inputs, cut=True)
        if not (chained(observed) and cut_out(observed) and observed.outputs.requires_grad):
            return False
        if not step_by_step(observed):
            return False
        try:
            automatic = Autograd(self.module, self.observe, inputs, causal=self.grid is None)
            return agree(Sweep(observed), automatic, *inputs.shape[:2])
        except NotApplicable:
            return False

    def _per_step(
        self, states: dict[str, list[Tensor]], batch: int, time: int
    ) -> dict[str, Float[Tensor, "batch time _"]]:
        """One tensor per site; a module that is called once per step gave them one by one."""
        joined = {
            name: calls[0] if len(calls) == 1 else torch.cat(calls, dim=1)
            for name, calls in states.items()
        }
        kept = {name: state for name, state in joined.items() if state.shape[:2] == (batch, time)}
        for site in self.asked_sites:
            if not any(name == site or name.startswith(f"{site}.") for name in kept):
                raise UsageError(
                    f"module {site!r} gives no state per step",
                    where=type(self.module).__name__,
                    got=f"shape {tuple(joined[site].shape)}" if site in joined else "no tensor",
                    expected=f"(batch, time, width), here {(batch, time, 'width')}",
                    do="Give another module with sites=[...].",
                )
        return kept

    def trace(self, inputs: Inputs, sources: Sequence[int] = ()) -> Trace:
        """How the outputs for one sequence come about, operator by operator, on the CPU.

        `sources` are the positions from which paths are followed; memory grows with their number.
        """
        elsewhere = {each.device.type for each in self.tensors()} - {"cpu", "meta"}
        model = self.on_the_cpu() if elsewhere else self
        given = inputs[:1].cpu()
        with undisturbed(model.module):
            outputs, found = trace(model.module, given, model.run, sources)
        plain = model(given)
        size = float(plain.abs().max().clamp(min=1e-30))
        return replace(found, difference=float((outputs - plain).abs().max()) / size)

    def on_the_cpu(self) -> "SequenceModel":
        """A copy there; where the model is, nothing is copied."""
        moved = copy(self)
        moved.module = on_the_cpu(self.module)
        return moved

    def mixers(self, length: int) -> tuple[Mixer, ...]:
        """The modules that mix positions, for sequences of `length` steps or a few less."""
        return self._mixers(self._unmistakable(length, -1))

    def _mixers(self, time: int) -> tuple[Mixer, ...]:
        inputs = self.example(2, time)
        with undisturbed(self.module), torch.no_grad():
            return find_mixers(self.module, lambda: self.run(inputs), time)

    @cached_property
    def kinds(self) -> tuple[Mixer, ...]:
        """The mixers on a short sequence: enough to know which there are."""
        return self._mixers(self._short)

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the states that `observe` gives."""
        return tuple(self.observe(self.example(1), gradients=False).states)

    @cached_property
    def causal(self) -> bool:
        """Whether no output changes with an input that comes later.

        Where no bit does, none does. Where one does, it may be for the shapes alone, as with
        experts that get other tokens beside it: then the modules that mix positions tell.
        """
        inputs = self.example(2)
        time = inputs.shape[1]
        plain = self(inputs)
        for position in (time // 2, time - 1):
            edited = self(self._edited(inputs, position))
            if not torch.equal(edited[:, :position], plain[:, :position]):
                return bool(self.kinds) and not any(m.support.triu(1).any() for m in self.kinds)
        return True

    @property
    def _cuttable(self) -> bool:
        """Whether the first steps alone have the same outputs."""
        return self.causal and self.grid is None

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The names of all outputs per step, the one that is measured first."""
        inputs = self.example(2)
        batch, time = inputs.shape[:2]
        with undisturbed(self.module), torch.no_grad():
            found = per_step_heads(self.returned(inputs), batch, time, self.time_first)
        return tuple(dict.fromkeys([*([self.head] if self.head else []), *found]))

    @property
    def family(self) -> str:
        """The kind of all mixers, `hybrid (kind, kind)` in the order of their calls, or
        `memoryless` without any. A state space has short convolutions beside it or inside.
        """
        kinds = dict.fromkeys(mixer.kind for mixer in self.kinds)
        if "state space" in kinds:
            kinds.pop("convolution", None)
        return f"hybrid ({', '.join(kinds)})" if len(kinds) > 1 else next(iter(kinds), "memoryless")

    @property
    def device(self) -> torch.device:
        """Where inputs go: to the first parameter, or to where accelerate brings it for use."""
        hooks = (getattr(part, "_hf_hook", None) for part in self.module.modules())
        placed = (getattr(hook, "execution_device", None) for hook in hooks)
        if (device := next((each for each in placed if each is not None), None)) is not None:
            return torch.device(device)
        return next((p.device for p in self.tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Of the first floating-point parameter."""
        floating = (p.dtype for p in self.tensors() if p.is_floating_point())
        return next(floating, torch.get_default_dtype())

    def example(self, batch: int, time: int | None = None) -> Tensor:
        """Random inputs of the right kind, always the same ones."""
        generator = torch.Generator().manual_seed(0)
        time = time or self._short
        if self.features:
            noise = torch.randn(batch, time, self.features, generator=generator)
            return noise.to(self.device, self.dtype)
        if self.vocab_size is None:
            raise ModelError(
                "cannot tell what the module takes",
                got="no nn.Embedding inside",
                expected="tokens or features",
                do="Give vocab_size=... for tokens or features=... for real-valued inputs.",
            )
        tokens = torch.randint(self.vocab_size, (batch, time), generator=generator)
        return tokens.to(self.device)

    @property
    def _short(self) -> int:
        return math.prod(self.grid) if self.grid else self._unmistakable(11, 1)

    def _unmistakable(self, length: int, direction: int) -> int:
        """The nearest length, upwards or downwards, that is no size of any parameter.

        A grid has one length, which often is the size of a table of positions.
        """
        if self.grid:
            return length
        sizes = {size for tensor in self.tensors() for size in tensor.shape}
        while length in sizes:
            length += direction
        return length

    def tensors(self) -> Iterator[Tensor]:
        """All parameters and buffers."""
        yield from tensors(self.module)

    def _embedding(self) -> nn.Embedding:
        found = self.module.get_submodule(self.embedding or "")
        assert isinstance(found, nn.Embedding)
        return found

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """Those that hold a mixer other than a fused recurrence."""
        return tuple(dict.fromkeys(blocks(self.module, [mixer.path for mixer in self.kinds])))

    @property
    def hooked_sites(self) -> tuple[str, ...]:
        """The blocks, of a deep model a few of them, spread evenly; and what the user asked for."""
        count = len(self.blocks)
        places = np.linspace(0, count - 1, min(SITES, count)).round().astype(int)
        few = [self.blocks[place] for place in places]
        return tuple(dict.fromkeys([*few, *self.asked_sites]))

    def _orientation(self) -> tuple[bool, bool]:
        """Whether the module is time-first, and whether rows of a batch leak into each other."""
        inputs = self.example(3)
        changed = (self(self._edited(inputs, 0, row=0)) != self(inputs)).any(-1)
        other_rows, other_steps = changed[1:].any().item(), changed[0, 1:].any().item()
        time_first = bool(other_rows and not other_steps)
        return time_first, bool(other_rows and other_steps)

    def _edited(self, inputs: Tensor, position: int, row: int | slice = slice(None)) -> Tensor:
        edited = inputs.clone()
        step = edited[row, position]
        if self.features:
            edited[row, position] = step + torch.ones_like(step)
        else:
            assert self.vocab_size is not None
            edited[row, position] = (step + 1) % self.vocab_size
        return edited


def _possible(predicts: Predicts | None, features: int | None) -> Predicts | None:
    if predicts in (None, "classes") or (features and predicts in get_args(Predicts)):
        return predicts
    raise _no_prediction(predicts, f"features={features}")


def _no_prediction(predicts: str, got: str) -> UsageError:
    return UsageError(
        "this cannot be what the model predicts",
        where="SequenceModel",
        got=f"predicts={predicts!r}, {got}",
        expected="classes; for real-valued inputs also values, or next with no more outputs than "
        "features",
        do="Leave predicts out, or give features=... as well.",
    )


def _rows_and_columns(grid: tuple[int, int] | None) -> tuple[int, int] | None:
    if grid is None or (len(grid) == 2 and all(isinstance(n, int) and n > 0 for n in grid)):
        return grid
    raise UsageError(
        "this is no grid of patches",
        where="SequenceModel",
        got=f"grid={grid!r}",
        expected="(rows, columns)",
        do="Give how many patches there are along both sides of the image.",
    )


def _off_the_grid(grid: tuple[int, int], time: int, where: str) -> ModelError:
    rows, columns = grid
    return ModelError(
        "the grid does not fit the sequence",
        where=where,
        got=f"{time} steps",
        expected=f"{rows} x {columns} = {rows * columns} patches",
        do="Give whole images, or the grid=(rows, columns) of their patches.",
    )


def _smallest_embedding(module: nn.Module) -> int | None:
    """A number of tokens that no embedding in the module refuses."""
    sizes = [part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding)]
    return min(sizes, default=None)
