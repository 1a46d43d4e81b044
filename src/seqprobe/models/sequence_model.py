"""One face for any `nn.Module` that reads sequences; its maths is never copied."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.contracts import Mixer
from seqprobe.errors import ModelError, UsageError
from seqprobe.models.calling import call, undisturbed
from seqprobe.models.embedding import find_embedding, leaf_at
from seqprobe.models.mixers import find_mixers
from seqprobe.models.outputs import per_step_outputs
from seqprobe.models.sites import blocks, existing, watched

Inputs = Int[Tensor, "batch time"] | Float[Tensor, "batch time features"]
Outputs = Float[Tensor, "batch time classes"]


@dataclass(frozen=True)
class Observed:
    """One probed forward: outputs, per-step states, and the embeddings they depend on."""

    outputs: Outputs
    states: dict[str, Float[Tensor, "batch time _"]]
    embeddings: Float[Tensor, "batch time _"] | None


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

    Raises:
        ModelError: the module cannot be run, or returns no output per step.
        UsageError: a site is no module of the model.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        vocab_size: int | None = None,
        features: int | None = None,
        sites: Sequence[str] = (),
    ) -> None:
        self.module = module
        self.features = features
        self.vocab_size = vocab_size or (None if features else _smallest_embedding(module))
        self.time_first = False
        self._asked_sites = existing(module, sites)
        tokens = self.example(3)
        self.embedding = None if features else find_embedding(module, tokens, lambda: self(tokens))
        if vocab_size is None and self.embedding:
            self.vocab_size = self._embedding().num_embeddings
        self.time_first, self.mixes_batch_rows = self._orientation()

    def __call__(self, inputs: Inputs) -> Outputs:
        """The plain forward, in evaluation mode, without gradients."""
        with undisturbed(self.module), torch.no_grad():
            return self._run(inputs)

    def observe(self, inputs: Inputs, *, gradients: bool = True) -> Observed:
        """The forward with recurrent layers unrolled, states kept and embeddings as leaves."""
        states: dict[str, list[Tensor]] = {}
        leaves: list[Tensor] = []
        watching = watched(self.module, self._hooked_sites, self.time_first, states)
        with undisturbed(self.module), torch.set_grad_enabled(gradients), ExitStack() as stack:
            stack.enter_context(watching)
            if self.embedding:
                leaf = leaf_at(self._embedding(), self.time_first, leaves.append)
                stack.enter_context(leaf)
            elif self.features:
                inputs = inputs.detach().requires_grad_(gradients)
                leaves.append(inputs)
            outputs = self._run(inputs)
        return Observed(
            outputs,
            self._per_step(states, *outputs.shape[:2]),
            leaves[0] if leaves and gradients else None,
        )

    def _per_step(
        self, states: dict[str, list[Tensor]], batch: int, time: int
    ) -> dict[str, Float[Tensor, "batch time _"]]:
        """One tensor per site; a module that is called once per step gave them one by one."""
        joined = {
            name: calls[0] if len(calls) == 1 else torch.cat(calls, dim=1)
            for name, calls in states.items()
        }
        kept = {name: state for name, state in joined.items() if state.shape[:2] == (batch, time)}
        for site in self._asked_sites:
            if not any(name == site or name.startswith(f"{site}.") for name in kept):
                raise UsageError(
                    f"module {site!r} gives no state per step",
                    where=type(self.module).__name__,
                    got=f"shape {tuple(joined[site].shape)}" if site in joined else "no tensor",
                    expected=f"(batch, time, width), here {(batch, time, 'width')}",
                    do="Give another module with sites=[...].",
                )
        return kept

    def mixers(self, length: int) -> tuple[Mixer, ...]:
        """The modules that mix positions, for sequences of `length` steps or a few less."""
        return self._mixers(self._unmistakable(length, -1))

    def _mixers(self, time: int) -> tuple[Mixer, ...]:
        inputs = self.example(2, time)
        with undisturbed(self.module), torch.no_grad():
            return find_mixers(self.module, lambda: self._run(inputs), time)

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
        """Whether no output changes, bit for bit, with an input that comes later."""
        inputs = self.example(2)
        time = inputs.shape[1]
        plain = self(inputs)
        for position in (time // 2, time - 1):
            edited = self(self._edited(inputs, position))
            if not torch.equal(edited[:, :position], plain[:, :position]):
                return False
        return True

    @property
    def family(self) -> str:
        """`recurrent`, `attention`, `convolution`, `hybrid`, or `unknown`."""
        kinds = sorted({mixer.kind for mixer in self.kinds})
        return kinds[0] if len(kinds) == 1 else "hybrid" if kinds else "memoryless"

    @property
    def device(self) -> torch.device:
        """Where the first parameter lives."""
        return next((p.device for p in self._tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Of the first floating-point parameter."""
        floating = (p.dtype for p in self._tensors() if p.is_floating_point())
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
        return self._unmistakable(11, 1)

    def _unmistakable(self, length: int, direction: int) -> int:
        """The nearest length, upwards or downwards, that is no size of any parameter."""
        sizes = {size for tensor in self._tensors() for size in tensor.shape}
        while length in sizes:
            length += direction
        return length

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.module.parameters()
        yield from self.module.buffers()

    def _embedding(self) -> nn.Embedding:
        found = self.module.get_submodule(self.embedding or "")
        assert isinstance(found, nn.Embedding)
        return found

    @cached_property
    def _hooked_sites(self) -> tuple[str, ...]:
        """Blocks that hold a mixer other than a fused recurrence, and what the user asked for."""
        found = blocks(self.module, [mixer.path for mixer in self.kinds])
        return tuple(dict.fromkeys([*found, *self._asked_sites]))

    def _run(self, inputs: Inputs) -> Outputs:
        batch, time = inputs.shape[:2]
        given = inputs.transpose(0, 1) if self.time_first else inputs
        returned = call(self.module, given)
        return per_step_outputs(returned, batch, time, self.time_first)

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


def _smallest_embedding(module: nn.Module) -> int | None:
    """A number of tokens that no embedding in the module refuses."""
    sizes = [part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding)]
    return min(sizes, default=None)
