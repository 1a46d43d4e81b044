"""Reference models with equally many parameters, some sequences at a time."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.reference.language_models import Kind, build, width_for
from seqprobe.reference.recipe import LAYERS

KINDS: tuple[Kind, ...] = ("rnn", "lstm", "gru", "mingru", "attention")
RECURRENT: tuple[Kind, ...] = ("rnn", "lstm", "gru")
VOCABULARY, HEADS = 256, 4


class Side(nn.Module):
    """A model that reads every sequence many times, beside each other.

    The outputs are those of one of them; nothing is shared, so all of the work is done.
    """

    def __init__(self, model: nn.Module, batch: int) -> None:
        super().__init__()
        self.model, self.batch = model, batch

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        outputs: Tensor = self.model(tokens.repeat(self.batch, 1))
        return outputs[: len(tokens)]


def equal(kind: Kind, parameters: int, longest: int) -> nn.Module:
    """Of the width that comes closest; attention's table of positions comes on top of them."""
    shape: dict[str, Any] = {"vocab_size": VOCABULARY, "layers": LAYERS[kind], "heads": HEADS}
    width = width_for(kind, parameters, **shape, context=1)
    torch.manual_seed(0)
    return build(kind, width=width, **shape, context=longest)


def shape_of(model: nn.Module) -> dict[str, int]:
    """Width and parameters; positions apart, as they grow with the length and cost one look-up."""
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    positions = counts.pop("position.weight", 0)
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    return {"width": head.in_features, "parameters": sum(counts.values()), "positions": positions}
