"""The order in which the layers of a recurrent model follow each other, found by their widths."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, permutations

from seqprobe.checkpoints.layouts.matrices import Matrix, matrices, repeated
from seqprobe.checkpoints.layouts.recurrences import Recurrence
from seqprobe.checkpoints.tensors import TensorSpec

_TOKENS = re.compile(r"emb|encoder|wte|lookup", re.IGNORECASE)
MOST = 5  # linear layers and embeddings of which all orders are tried


@dataclass(frozen=True)
class Chain:
    """An embedding or none, one linear layer or none, recurrent layers, and a head."""

    embedding: Matrix | None
    projection: tuple[Matrix, ...]
    recurrences: tuple[Recurrence, ...]
    head: tuple[Matrix, ...]

    @cached_property
    def fits(self) -> bool:
        """Whether each layer takes the width that the one before it gives.

        A layer without a weight in the file can only be a head that is tied.
        """
        parts = (*self._to_the_states, *self.head)
        if self.embedding and self.embedding.inputs != self.inputs:
            return False
        if any(layer.weight is None for layer in (*self.projection, *self.head[:-1])):
            return False
        if self.head[-1].weight is None and not self.tied:
            return False
        return all(before.outputs == after.inputs for before, after in pairwise(parts))

    @property
    def inputs(self) -> int:
        """The width of what enters the first layer after the embedding."""
        return self._to_the_states[0].inputs

    @property
    def _to_the_states(self) -> tuple[Matrix | Recurrence, ...]:
        return (*self.projection, *self.recurrences)

    @property
    def outputs(self) -> int:
        """The width of what the model gives."""
        return self.head[-1].outputs

    @property
    def predicts_tokens(self) -> bool:
        """Whether there is an output for each token."""
        return self.embedding is not None and self.outputs == self.embedding.outputs

    @property
    def tied(self) -> bool:
        """Whether the embedding is also the weight of the last layer."""
        return self.embedding is not None and self.embedding.numbers == self.head[-1].numbers

    def likeness(self, order: Sequence[str]) -> tuple[int, ...]:
        """How far names, and their order in the file, speak for this order of the layers."""
        hinted = self.embedding is not None and _TOKENS.search(self.embedding.path) is not None
        before = [part.path for part in (self.embedding, *self.projection) if part]
        head = [order.index(part.path) for part in self.head]
        first = min(order.index(part.path) for part in self.recurrences)
        placed = all(order.index(path) < first for path in before)
        return (
            hinted,
            len(before) + sum(layer.weight is not None for layer in self.head),
            self.head[-1].weight is not None,
            head == sorted(head),
            placed and all(place > first for place in head),
        )


def readings(
    weights: Mapping[str, TensorSpec], layers: tuple[Recurrence, ...], names: Sequence[str]
) -> list[Chain]:
    """The chains of these recurrences and all the tensors of these names.

    Several of them if neither widths nor names nor the order in the file decide. A weight that is
    there twice may be used once, and that of the embedding for the head as well.
    """
    found, left = matrices(weights, names)
    again = repeated(found)
    once = [each for each in found if each.weight not in again]
    order = [name.rpartition(".")[0] for name in weights]
    if len(found) > MOST:
        return []
    attempts = [] if left else [found, once] if again else [found]
    attempts += _with_tied_head(once, left, weights)
    fitting = [chain for each in attempts for chain in _orders(each, layers) if chain.fits]
    by_name = list(weights) == sorted(weights)  # as in safetensors: places tell nothing
    likeness = [chain.likeness(order)[: -1 if by_name else None] for chain in fitting]
    best = max(likeness, default=None)
    return [chain for chain, like in zip(fitting, likeness, strict=True) if like == best]


def _with_tied_head(
    found: Sequence[Matrix], left: Sequence[str], weights: Mapping[str, TensorSpec]
) -> Iterator[list[Matrix]]:
    """Of which the file holds at most the bias."""
    for table in found:
        if table.bias is not None or len(left) > 1:
            continue
        if all(_is_bias(name, weights[name].shape, table) for name in left):
            yield [*found, Matrix(table.path, table.spec, None, next(iter(left), None))]


def _is_bias(name: str, shape: tuple[int, ...], table: Matrix) -> bool:
    return name.endswith("bias") and shape == (table.outputs,)


def _orders(found: Sequence[Matrix], layers: tuple[Recurrence, ...]) -> Iterator[Chain]:
    """At least one layer makes the head; of a weight that is there twice, the first embeds."""
    bare = [each for each in found if each.weight and not each.bias]
    again = repeated(bare)
    for embedding in (*(each for each in bare if each.weight not in again), None):
        rest = [each for each in found if each is not embedding]
        for order in permutations(rest):
            for before in range(min(2, len(order))):
                yield Chain(embedding, order[:before], layers, order[before:])
