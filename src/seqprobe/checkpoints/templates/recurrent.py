"""Models of stacked `nn.RNN`, `nn.LSTM` and `nn.GRU` layers."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.checkpoints.templates.pooling import Pooling
from seqprobe.errors import UsageError

KINDS: Mapping[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
}


class RecurrentModel(nn.Module):
    """Embedding or features, recurrent layers, pooling, and a head of linear layers.

    Args:
        recurrences: each the arguments of `nn.RNN`, `nn.LSTM` or `nn.GRU`, and which (`kind`).
        head: inputs, outputs and bias of each linear layer.
        embedding: tokens and width; without it the inputs are real-valued.
        projection: inputs, outputs and bias of a linear layer before the recurrent ones.
        tied: the embedding is also the weight of the last linear layer.
        pooling: see `Pooling`.
        nonlinearity: `tanh` or `relu`, of every `nn.RNN`.
        activation: between the linear layers of the head.
        projection_activation: after the projection.
        residual: add to a recurrent layer's outputs its inputs, where they are equally wide.

    Raises:
        UsageError: an activation, nonlinearity or pooling that does not exist.
    """

    def __init__(
        self,
        *,
        recurrences: Sequence[Mapping[str, Any]],
        head: Sequence[tuple[int, int, bool]],
        embedding: tuple[int, int] | None = None,
        projection: tuple[int, int, bool] | None = None,
        tied: bool = False,
        pooling: str = "none",
        nonlinearity: str = "tanh",
        activation: str = "relu",
        projection_activation: str = "none",
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(*embedding) if embedding else None
        self.projection = nn.Linear(*projection) if projection else None
        self.projection_activation = _activation(projection_activation)
        self.recurrences = nn.ModuleList(_layer(nonlinearity, **each) for each in recurrences)
        self.pooling = Pooling(pooling, bidirectional=recurrences[-1]["bidirectional"])
        self.head = nn.ModuleList(nn.Linear(*each) for each in head)
        self.activation = _activation(activation)
        self.residual = residual
        if tied and self.embedding is not None:
            self.head[-1].weight = self.embedding.weight

    def forward(
        self, inputs: Int[Tensor, "batch time"] | Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time outputs"]:
        hidden = inputs if self.embedding is None else self.embedding(inputs)
        if self.projection is not None:
            hidden = self.projection_activation(self.projection(hidden))
        for layer in self.recurrences:
            outputs, _ = layer(hidden)
            residual = self.residual and outputs.shape == hidden.shape
            hidden = hidden + outputs if residual else outputs
        hidden = self.pooling(hidden)
        for linear in self.head[:-1]:
            hidden = self.activation(linear(hidden))
        answers: Tensor = self.head[-1](hidden)
        return answers


def _layer(nonlinearity: str, *, kind: str, **sizes: Any) -> nn.RNNBase:
    if nonlinearity not in ("tanh", "relu"):
        raise _unknown("nonlinearity", nonlinearity, ("tanh", "relu"))
    if kind == "rnn":
        sizes["nonlinearity"] = nonlinearity
    return KINDS[kind](**sizes, batch_first=True)


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise _unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def _unknown(what: str, name: str, known: Sequence[str] | Mapping[str, Any]) -> UsageError:
    return UsageError(
        f"unknown {what} {name!r}",
        expected=f"one of {', '.join(known)}",
        do=f"Choose one of them with --set {what}=...",
    )
