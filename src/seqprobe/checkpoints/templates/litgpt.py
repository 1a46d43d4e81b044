"""The decoder of litgpt, with litgpt's names: many families by a few options."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.checkpoints.templates.rotary import rotated, steps_of

Hidden = Float[Tensor, "batch time width"]


@dataclass(frozen=True)
class Options:
    """What such a decoder is made of, named as in litgpt's `model_config.yaml` where it is there.

    Attributes:
        affine: whether norms have weights.
        attn_bias: whether queries, keys and values have one.
        interleaved: queries, keys and values lie side by side for each group, as in files of
            litgpt up to 0.5.4.
    """

    _: KW_ONLY
    vocab_size: int
    n_embd: int
    n_layer: int
    intermediate_size: int
    n_head: int
    n_query_groups: int
    head_size: int
    attn_bias: bool
    bias: bool
    lm_head_bias: bool
    norm_class_name: Literal["LayerNorm", "RMSNorm", "GemmaRMSNorm"]
    mlp_class_name: Literal["GptNeoxMLP", "LLaMAMLP", "GemmaMLP"]
    affine: bool = True
    norm_eps: float = 1e-5
    interleaved: bool = False
    rotary_percentage: float = 0.25
    rope_base: float = 10000
    rope_condense_ratio: float = 1
    rope_adjustments: Mapping[str, float] | None = None
    parallel_residual: bool = True
    shared_attention_norm: bool = False
    gelu_approximate: str = "none"
    scale_embeddings: bool = False


class LitGPT(nn.Module):
    """Tokens to logits; the settings are those of `Options`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        options = Options(**settings)
        self.lm_head = nn.Linear(options.n_embd, options.vocab_size, options.lm_head_bias)
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(options.vocab_size, options.n_embd),
                "h": nn.ModuleList(Block(options) for _ in range(options.n_layer)),
                "ln_f": _norm(options),
            }
        )
        self.scale = options.n_embd**0.5 if options.scale_embeddings else 1.0

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        x = self.transformer["wte"](tokens) * self.scale
        blocks = self.transformer["h"]
        assert isinstance(blocks, nn.ModuleList)
        for block in blocks:
            x = block(x)
        logits: Tensor = self.lm_head(self.transformer["ln_f"](x))
        return logits


class Block(nn.Module):
    """Attention and a layer of hidden units, one after the other or side by side."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.norm_1 = _norm(options)
        self.attn = Attention(options)
        self.norm_2 = None if options.shared_attention_norm else _norm(options)
        self.mlp = (Plain if options.mlp_class_name == "GptNeoxMLP" else Gated)(options)
        self.parallel = options.parallel_residual

    def forward(self, x: Hidden) -> Hidden:
        normed = self.norm_1(x)
        attended = x + self.attn(normed)
        if self.norm_2 is not None:
            normed = self.norm_2(x if self.parallel else attended)
        out: Tensor = attended + self.mlp(normed)
        return out


class Attention(nn.Module):
    """Causal, with rotary positions; several heads may share keys and values."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.heads, self.groups = options.n_head, options.n_query_groups
        self.width, self.interleaved = options.head_size, options.interleaved
        rows = (self.heads + 2 * self.groups) * self.width
        self.qkv = nn.Linear(options.n_embd, rows, options.attn_bias)
        self.proj = nn.Linear(self.heads * self.width, options.n_embd, options.bias)
        self.turning = int(options.rotary_percentage * self.width)
        self.base, self.slower = options.rope_base, options.rope_condense_ratio
        self.adjustments = options.rope_adjustments

    def forward(self, x: Hidden) -> Hidden:
        steps = steps_of(self.turning, self.base, self.adjustments) / self.slower
        query, key, value = (part.transpose(1, 2) for part in self._parts(self.qkv(x)))
        query, key = (rotated(part, steps.to(x.device)) for part in (query, key))
        each = self.heads // self.groups
        key, value = (part.repeat_interleave(each, dim=1) for part in (key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(-2))
        return out

    def _parts(
        self, qkv: Float[Tensor, "batch time rows"]
    ) -> list[Float[Tensor, "batch time heads width"]]:
        if not self.interleaved:
            heads = qkv.unflatten(-1, (-1, self.width))
            return list(heads.split((self.heads, self.groups, self.groups), dim=2))
        each = self.heads // self.groups
        groups = qkv.unflatten(-1, (self.groups, each + 2, self.width))
        return [part.flatten(2, 3) for part in groups.split((each, 1, 1), dim=3)]


class Plain(nn.Module):
    """One layer of hidden units."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.fc = nn.Linear(options.n_embd, options.intermediate_size, options.bias)
        self.proj = nn.Linear(options.intermediate_size, options.n_embd, options.bias)
        self.activation = nn.GELU(options.gelu_approximate)

    def forward(self, x: Hidden) -> Hidden:
        out: Tensor = self.proj(self.activation(self.fc(x)))
        return out


class Gated(nn.Module):
    """GLU Variants Improve Transformer (Shazeer, 2020)."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.fc_1 = nn.Linear(options.n_embd, options.intermediate_size, options.bias)
        self.fc_2 = nn.Linear(options.n_embd, options.intermediate_size, options.bias)
        self.proj = nn.Linear(options.intermediate_size, options.n_embd, options.bias)
        gelu = options.mlp_class_name == "GemmaMLP"
        self.activation = nn.GELU(options.gelu_approximate) if gelu else nn.SiLU()

    def forward(self, x: Hidden) -> Hidden:
        out: Tensor = self.proj(self.activation(self.fc_1(x)) * self.fc_2(x))
        return out


class GemmaRMSNorm(nn.RMSNorm):
    """Its weight is what is added to one."""

    def forward(self, x: Hidden) -> Hidden:
        return F.rms_norm(x, self.normalized_shape, 1 + self.weight, self.eps)

    def reset_parameters(self) -> None:
        """The scale of one that training starts from."""
        nn.init.zeros_(self.weight)


def _norm(options: Options) -> nn.Module:
    width, eps, affine = options.n_embd, options.norm_eps, options.affine
    if options.norm_class_name == "LayerNorm":
        return nn.LayerNorm(width, eps, affine)
    kind = GemmaRMSNorm if options.norm_class_name == "GemmaRMSNorm" else nn.RMSNorm
    return kind(width, eps, affine)
