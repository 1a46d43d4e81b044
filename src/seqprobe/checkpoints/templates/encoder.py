"""Models around `nn.TransformerEncoder`, whose own arithmetic is used."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.checkpoints.templates.choices import heads_of, one_of
from seqprobe.checkpoints.templates.pooling import Pooling
from seqprobe.checkpoints.templates.positions import Hidden, Positions


class Encoder(nn.Module):
    """Tokens or features, positions, layers of self-attention, pooling, and a linear head.

    Attention Is All You Need (Vaswani et al., 2017), of which this is the encoder. Unless it is
    causal, every step has read the whole text, so that its answer is not what the model would say
    if the text ended there; the answer at the last step is that of the original model either way.

    Args:
        inputs: how many tokens there are, or the width of real-valued inputs.
        real_valued: inputs are no tokens.
        outputs: width of the answer at each step.
        width: of the layers' inputs and outputs.
        layers: how many.
        inner: hidden units of each layer.
        nhead: heads of each layer; they divide the width.
        norm_first: norms stand before attention and hidden units, not after the sums.
        activation: `relu` or `gelu`, of the hidden units.
        embedding_scale: what the embedding is multiplied by.
        causal: steps attend to earlier ones only.
        positions: see `Positions`.
        table: the shape of a table of positions.
        learned: the table is a parameter.
        norm: where a further norm stands: `embedding` (after positions are added), `final` (after
            the layers), `pooled` (after pooling), or `none`.
        pooling: see `Pooling`.
        bias: whether linear maps and norms of the layers add one.
        norm_bias: whether the further norm does.
        head_bias: whether the head does.
        tied: the head's weight is the embedding.
        epsilon: of the norms.

    Raises:
        UsageError: a choice that does not exist.
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        width: int,
        layers: int,
        inner: int,
        nhead: int,
        real_valued: bool = False,
        norm_first: bool = False,
        activation: str = "relu",
        embedding_scale: float = 1.0,
        causal: bool = False,
        positions: str = "none",
        table: Sequence[int] | None = None,
        learned: bool = False,
        norm: str = "none",
        pooling: str = "none",
        bias: bool = True,
        norm_bias: bool = True,
        head_bias: bool = True,
        tied: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.embedding = (nn.Linear if real_valued else nn.Embedding)(inputs, width)
        self.positions = Positions(width, positions, table, learned=learned)
        layer = nn.TransformerEncoderLayer(
            width,
            heads_of("nhead", nhead, width),
            inner,
            dropout=0.0,
            activation=one_of("activation", activation, ("relu", "gelu")),
            layer_norm_eps=epsilon,
            batch_first=True,
            norm_first=norm_first,
            bias=bias,
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm_place = one_of("norm", norm, ("none", "embedding", "final", "pooled"))
        self.norm = (
            nn.Identity() if norm == "none" else nn.LayerNorm(width, epsilon, bias=norm_bias)
        )
        self.pooling = Pooling(pooling)
        self.head = nn.Linear(width, outputs, head_bias)
        if tied:
            self.head.weight = self.embedding.weight
        self.embedding_scale, self.causal = embedding_scale, causal

    def forward(
        self, inputs: Int[Tensor, "batch time"] | Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time outputs"]:
        x = self.positions(self.embedding(inputs) * self.embedding_scale)
        x = self._normed(x, "embedding")
        x = self.encoder(x, self._mask(x), is_causal=self.causal)
        x = self.pooling(self._normed(x, "final"))
        answers: Tensor = self.head(self._normed(x, "pooled"))
        return answers

    def _normed(self, x: Hidden, place: str) -> Hidden:
        return self.norm(x) if self.norm_place == place else x

    def _mask(self, x: Hidden) -> Float[Tensor, "time time"] | None:
        if not self.causal:
            return None
        return nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device, x.dtype)
