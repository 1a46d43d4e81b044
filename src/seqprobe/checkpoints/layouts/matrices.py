"""The linear layers and embeddings of a state dict, and what is none of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seqprobe.checkpoints.tensors import Span, TensorSpec


@dataclass(frozen=True)
class Matrix:
    """A linear layer or an embedding, and the names of its tensors in the state dict.

    The weight has no name where a file holds a tied tensor only once.
    """

    path: str
    spec: TensorSpec
    weight: str | None
    bias: str | None

    @property
    def inputs(self) -> int:
        """The width that it takes as a linear layer, or gives as an embedding."""
        return self.spec.shape[1]

    @property
    def outputs(self) -> int:
        """The width that it gives as a linear layer, or its tokens as an embedding."""
        return self.spec.shape[0]

    @property
    def numbers(self) -> tuple[Span, int, tuple[int, ...]]:
        """Which ones of the file its weight is made of: the same ones if it is tied."""
        return self.spec.storage, self.spec.offset, self.spec.shape

    def names(self, place: str) -> dict[str, str]:
        """From its tensors to the parameters of the layer at this place."""
        named = {self.weight: f"{place}.weight", self.bias: f"{place}.bias"}
        return {name: where for name, where in named.items() if name is not None}


def matrices(
    weights: Mapping[str, TensorSpec], names: Iterable[str]
) -> tuple[list[Matrix], list[str]]:
    """Those among these names, in their order, and the names that belong to none."""
    names = list(names)
    found = [
        Matrix(path, weights[name], name, _bias(path, weights))
        for name in names
        if (path := name.removesuffix(".weight")) != name and len(weights[name].shape) == 2
    ]
    used = {name for each in found for name in (each.weight, each.bias)}
    return found, [name for name in names if name not in used]


def _bias(path: str, weights: Mapping[str, TensorSpec]) -> str | None:
    name = f"{path}.bias"
    fits = name in weights and weights[name].shape == weights[f"{path}.weight"].shape[:1]
    return name if fits else None


def repeated(found: Iterable[Matrix]) -> frozenset[str]:
    """Bare weights that are also those of an earlier embedding or linear layer."""
    before, again = set(), set()
    for each in found:
        if each.numbers in before and each.weight and not each.bias:
            again.add(each.weight)
        before.add(each.numbers)
    return frozenset(again)
