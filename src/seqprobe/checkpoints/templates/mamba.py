"""Mamba in plain torch: Mamba: Linear-Time Sequence Modeling with Selective State Spaces
(Gu and Dao, 2023).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.checkpoints.templates.with_cache import WithCache

Hidden = Float[Tensor, "batch time width"]
Inner = Float[Tensor, "batch time inner"]
States = Float[Tensor, "batch time state"]


class Mamba(nn.Module):
    """Tokens to logits, with the names of state-spaces/mamba.

    Args:
        vocab_size: how many tokens there are.
        width: of the residual stream.
        layers: how many blocks.
        inner: channels of each mixer.
        state: numbers that each channel carries.
        kernel: steps that the convolution sees.
        rank: of the map to step sizes.
        bias: whether the maps into and out of a mixer have one.
        conv_bias: whether the convolution has one.
        layer_norm: in place of root mean squares.
        tied: the head is the embedding.
        epsilon: of the norms.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        layers: int,
        inner: int,
        state: int,
        kernel: int,
        rank: int,
        bias: bool = False,
        conv_bias: bool = True,
        layer_norm: bool = False,
        tied: bool = True,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        norm = nn.LayerNorm if layer_norm else nn.RMSNorm
        mixers = (
            MambaMixer(width, inner, state, kernel, rank, bias, conv_bias) for _ in range(layers)
        )
        embedding = nn.Embedding(vocab_size, width)
        self.backbone = nn.ModuleDict(
            {
                "embedding": embedding,
                "layers": nn.ModuleList(Block(norm(width, epsilon), mixer) for mixer in mixers),
                "norm_f": norm(width, epsilon),
            }
        )
        self.lm_head = nn.Linear(width, vocab_size, bias=False)
        if tied:
            self.lm_head.weight = embedding.weight

    def forward(
        self,
        tokens: Int[Tensor, "batch time"],
        cache: "list[Kept] | None" = None,
        use_cache: bool = False,
    ) -> Float[Tensor, "batch time vocab"] | WithCache:
        """With `use_cache`, what mixers keep comes beside the logits, and goes on as `cache`."""
        x = self.backbone["embedding"](tokens)
        blocks = self.backbone["layers"]
        assert isinstance(blocks, nn.ModuleList)
        kept = (cache or [Kept() for _ in blocks]) if use_cache else [None for _ in blocks]
        for block, own in zip(blocks, kept, strict=True):
            x = block(x, own)
        logits: Tensor = self.lm_head(self.backbone["norm_f"](x))
        return WithCache(logits, kept) if use_cache else logits


@dataclass
class Kept:
    """Of one mixer after the last step read: what its kernel still sees, and its states."""

    seen: Float[Tensor, "batch inner before"] | None = None
    states: Float[Tensor, "batch inner state"] | None = None


class Block(nn.Module):
    """A mixer on a residual stream."""

    def __init__(self, norm: nn.Module, mixer: nn.Module) -> None:
        super().__init__()
        self.norm, self.mixer = norm, mixer

    def forward(self, x: Hidden, kept: Kept | None = None) -> Hidden:
        out: Tensor = x + self.mixer(self.norm(x), kept)
        return out


class MambaMixer(nn.Module):
    """A short convolution, then states that decay at a pace which the input chooses; gated."""

    def __init__(
        self,
        width: int,
        inner: int,
        state: int,
        kernel: int,
        rank: int,
        bias: bool,
        conv_bias: bool,
    ) -> None:
        super().__init__()
        self.sizes = (rank, state, state)
        self.in_proj = nn.Linear(width, 2 * inner, bias)
        self.conv1d = nn.Conv1d(inner, inner, kernel, groups=inner, bias=conv_bias)
        self.x_proj = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias)

    def forward(self, x: Hidden, kept: Kept | None = None) -> Hidden:
        """Goes on from what is kept, and keeps what comes after; without, from zero."""
        x, gate = self.in_proj(x).chunk(2, dim=-1)
        x = F.silu(self._seen(x, kept))
        step, into, out_of = self.x_proj(x).split(self.sizes, dim=-1)
        read = scan(x, F.softplus(self.dt_proj(step)), -self.A_log.exp(), into, out_of, kept)
        out: Tensor = self.out_proj((read + self.D * x) * F.silu(gate))
        return out

    def _seen(self, x: Inner, kept: Kept | None) -> Inner:
        """Each channel's last few steps."""
        before = self.conv1d.kernel_size[0] - 1
        padded = F.pad(x.mT, (before, 0))
        if kept is not None:
            if kept.seen is not None:
                padded[..., :before] = kept.seen
            kept.seen = padded[..., x.shape[1] :].clone()
        seen: Tensor = self.conv1d(padded)
        return seen.mT


def scan(
    x: Inner,
    step: Inner,
    rate: Float[Tensor, "inner state"],
    into: States,
    out_of: States,
    kept: Kept | None = None,
) -> Inner:
    """What is read from states h(t) = exp(step x rate) h(t - 1) + step x into.

    From zero, or from the states that are kept, in whose place come those after the last step.

    Single precision at least: a state is a sum over all steps before.
    """
    kind = torch.promote_types(x.dtype, torch.float32)
    fed = (step * x).to(kind)
    state = torch.zeros_like(fed[:, 0, :, None] * rate)
    if kept is not None and kept.states is not None:
        state = kept.states
    reads = []
    for t in range(x.shape[1]):
        decay = (step[:, t, :, None].to(kind) * rate.to(kind)).exp()
        state = decay * state + fed[:, t, :, None] * into[:, t, None].to(kind)
        reads.append((state * out_of[:, t, None].to(kind)).sum(-1))
    if kept is not None:
        kept.states = state
    return torch.stack(reads, dim=1).to(x.dtype)
