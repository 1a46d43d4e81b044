"""The names of GPT-2's tensors, which its many descendants keep."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from seqprobe.checkpoints.contents import Contents, unwrapped
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.checkpoints.tensors import TensorSpec

TEMPLATE = "seqprobe.checkpoints.templates.gpt:GPT"
_MASK = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")
_LAYER = re.compile(r"h\.(\d+)\.")

Shapes = dict[str, tuple[int, ...]]


class Sizes(TypedDict):
    """Settings of the template that follow from shapes."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_inner: int
    bias: bool


@dataclass(frozen=True)
class Decoder:
    """A file with the tensors of a GPT-2, and nothing else.

    Attributes:
        sizes: settings of the template.
        tied: the head is the embedding.
        names: from the file's names to the template's, which are GPT-2's.
        masks: causal masks, which are no weights.
        conv1d: linear maps lie transposed, as in transformers.
    """

    sizes: Sizes
    tied: bool
    names: Mapping[str, str]
    masks: frozenset[str]
    conv1d: bool

    @property
    def transposed(self) -> frozenset[str]:
        """Linear maps of the blocks, if they lie so."""
        return frozenset(file for file, name in self.names.items() if self.conv1d and _linear(name))

    def layout(self, name: str) -> Layout:
        """What all of the family have in common."""
        return Layout(
            name,
            TEMPLATE,
            settings={**self.sizes, "tied": self.tied},
            names=self.names,
            transposed=self.transposed,
            ignored=self.masks,
            vocab_size=self.sizes["vocab_size"],
            trained_length=self.sizes["n_positions"],
        )


def decoder(contents: Contents) -> Decoder | None:
    """The file as such a decoder, or None if a shape or a name is another one."""
    files = {
        new.removeprefix("transformer."): old for new, old in unwrapped(contents.weights).items()
    }
    specs = {name: contents.weights[file] for name, file in files.items()}
    masks = {name for name, spec in specs.items() if _is_mask(name, spec)}
    shapes = {name: spec.shape for name, spec in specs.items() if name not in masks}
    conv1d = _conv1d(shapes)
    if conv1d:
        shapes = {n: shape[::-1] if _linear(n) else shape for n, shape in shapes.items()}
    sizes, tables = _sizes(shapes), _tables(shapes)
    if sizes is None or shapes != _expected(sizes, tables):
        return None
    tied = len({specs[f"{table}.weight"] for table in tables}) == 1
    return Decoder(
        sizes=sizes,
        tied=tied,
        names={files[name]: name for name in shapes},
        masks=frozenset(files[name] for name in masks),
        conv1d=conv1d,
    )


def _is_mask(name: str, spec: TensorSpec) -> bool:
    scalar = spec.shape == ()
    square = len(spec.shape) == 4 and spec.shape == (1, 1, spec.shape[2], spec.shape[2])
    return bool(_MASK.fullmatch(name)) and (scalar or square)


def _linear(name: str) -> bool:
    return name.endswith(".weight") and (".attn." in name or ".mlp." in name)


def _conv1d(shapes: Shapes) -> bool:
    """The map to queries, keys and values is never square, so that it tells."""
    shape = shapes.get("h.0.attn.c_attn.weight", ())
    return len(shape) == 2 and shape[1] == 3 * shape[0]


def _sizes(shapes: Shapes) -> Sizes | None:
    tables = [shapes.get(f"{name}.weight", ()) for name in _tables(shapes)]
    telling = [*tables[:1], shapes.get("wpe.weight", ()), shapes.get("h.0.mlp.c_fc.weight", ())]
    if not tables or any(len(shape) != 2 or 0 in shape for shape in telling):
        return None
    (vocab, width), (positions, _), (inner, _) = telling
    return {
        "vocab_size": vocab,
        "n_positions": positions,
        "n_embd": width,
        "n_layer": len({found[1] for name in shapes if (found := _LAYER.match(name))}),
        "n_inner": inner,
        "bias": "ln_f.bias" in shapes,
    }


def _tables(shapes: Shapes) -> list[str]:
    """A file with one of them holds tied weights: safetensors keeps one of each."""
    return [name for name in ("wte", "lm_head") if f"{name}.weight" in shapes]


def _expected(sizes: Sizes, tables: list[str]) -> Shapes:
    width, inner = sizes["n_embd"], sizes["n_inner"]
    block = {
        "ln_1": (width,),
        "attn.c_attn": (3 * width, width),
        "attn.c_proj": (width, width),
        "ln_2": (width,),
        "mlp.c_fc": (inner, width),
        "mlp.c_proj": (width, inner),
    }
    layers = range(sizes["n_layer"])
    parts = {f"h.{n}.{part}": shape for n in layers for part, shape in block.items()}
    parts["ln_f"] = (width,)
    biases = {f"{part}.bias": shape[:1] for part, shape in parts.items() if sizes["bias"]}
    parts |= {"wpe": (sizes["n_positions"], width)}
    parts |= dict.fromkeys(tables, (sizes["vocab_size"], width))
    return {f"{part}.weight": shape for part, shape in parts.items()} | biases
