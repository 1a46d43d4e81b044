"""What stands around the layers of an encoder: embedding, positions, a further norm, head."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from seqprobe.checkpoints.layouts.encoder_stack import EncoderStack
from seqprobe.checkpoints.layouts.matrices import Matrix, matrices
from seqprobe.checkpoints.tensors import TensorSpec

_POSITIONS = re.compile(r"(.*\.)?pe|.*pos.*", re.IGNORECASE)
_MASK = re.compile(r".*mask", re.IGNORECASE)
_INPUT = re.compile(r"(?<!un)emb|tok|wte|lookup|encoder|input|in_proj|proj_in|src", re.IGNORECASE)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """Of positions: one vector each, perhaps with an axis for the batch."""

    name: str
    shape: Shape

    @property
    def learned(self) -> int | None:
        """How many positions were learned; buffers of sinusoids have other names."""
        learned = self.name.endswith(".weight") or "emb" in self.name.lower()
        return math.prod(self.shape[:-1]) if learned else None

    @property
    def places(self) -> dict[str, str]:
        """From the name of its tensor to that of the template's."""
        return {self.name: "positions.table"}


@dataclass(frozen=True)
class Norm:
    """A LayerNorm that is in none of the layers."""

    path: str
    bias: bool

    @property
    def places(self) -> dict[str, str]:
        """From the names of its tensors to those of the template's."""
        parts = ("weight", "bias") if self.bias else ("weight",)
        return {f"{self.path}.{part}": f"norm.{part}" for part in parts}


@dataclass(frozen=True)
class EncoderParts:
    """All but the layers; None where there is no such part.

    Attributes:
        embedding: a table of tokens; with a bias it is a linear layer on real-valued features.
        head: the linear layer to the outputs.
        table: of positions.
        norm: a further one.
        masks: which attention may look where; they are no weights.
    """

    embedding: Matrix
    head: Matrix
    table: Table | None
    norm: Norm | None
    masks: frozenset[str]

    @property
    def features(self) -> int | None:
        """Width of real-valued inputs."""
        return self.embedding.inputs if self.embedding.bias else None

    @property
    def vocab_size(self) -> int | None:
        """How many tokens there are."""
        return None if self.embedding.bias else self.embedding.outputs

    @property
    def predicts_tokens(self) -> bool:
        """Whether there is an output for each token."""
        return self.head.outputs == self.vocab_size

    @property
    def learned_positions(self) -> int | None:
        """How many there are."""
        return self.table.learned if self.table else None

    @property
    def places(self) -> dict[str, str]:
        """From the names of its tensors to those of the template's."""
        ends = self.embedding.names("embedding") | self.head.names("head")
        between = [part.places for part in (self.table, self.norm) if part]
        return ends | {name: place for places in between for name, place in places.items()}


def encoder_parts(specs: Mapping[str, TensorSpec], stack: EncoderStack) -> EncoderParts | None:
    """None if a tensor is left over, or if two could have the same part."""
    rest = {name: spec.shape for name, spec in specs.items() if name not in stack.places}
    masks = {name for name, shape in rest.items() if _is_mask(name, shape)}
    tables = [Table(name, shape) for name, shape in rest.items() if _is_table(name, shape, stack)]
    norms = _norms(rest, stack)
    known = masks.union(*(table.places for table in tables), *(norm.places for norm in norms))
    found, left = matrices(specs, (name for name in rest if name not in known))
    ends = _ends(found, stack.width)
    if left or ends is None or len(tables) > 1 or len(norms) > 1:
        return None
    embedding, head = ends
    table, norm = next(iter(tables), None), next(iter(norms), None)
    return EncoderParts(embedding, head, table, norm, frozenset(masks))


def _is_mask(name: str, shape: Shape) -> bool:
    return bool(_MASK.fullmatch(name)) and len(shape) == 2 and shape[0] == shape[1]


def _is_table(name: str, shape: Shape, stack: EncoderStack) -> bool:
    axes = [size for size in shape[:-1] if size != 1] or [1]
    fits = len(shape) in (2, 3) and shape[-1] == stack.width and len(axes) == 1 and axes[0] > 0
    return fits and bool(_POSITIONS.fullmatch(name))


def _norms(rest: Mapping[str, Shape], stack: EncoderStack) -> list[Norm]:
    vector = (stack.width,)
    weights = [name for name, shape in rest.items() if shape == vector]
    paths = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
    return [Norm(path, rest.get(f"{path}.bias") == vector) for path in paths]


def _ends(found: list[Matrix], width: int) -> tuple[Matrix, Matrix] | None:
    """Embedding and head: by their widths, and where these do not tell, by their names."""
    if len(found) != 2:
        return None
    orders = [(a, b) for a, b in (found, found[::-1]) if _embeds(a, width) and b.inputs == width]
    if len(orders) == 2 and found[0].numbers != found[1].numbers:
        orders = [(a, b) for a, b in orders if _INPUT.search(a.path) and not _INPUT.search(b.path)]
    return orders[0] if orders else None


def _embeds(matrix: Matrix, width: int) -> bool:
    return width == (matrix.outputs if matrix.bias else matrix.inputs)
