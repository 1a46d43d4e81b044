"""The layers of an `nn.TransformerEncoder`, by the names that PyTorch gives their tensors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from seqprobe.checkpoints.tensors import TensorSpec

_FIRST = re.compile(r"(.*?)0\.self_attn\.in_proj_weight")


@dataclass(frozen=True)
class EncoderStack:
    """Equal layers, and the path before their numbers: `transformer_encoder.layers.`."""

    path: str
    layers: int
    width: int
    inner: int
    bias: bool

    @property
    def norm(self) -> str:
        """Where `nn.TransformerEncoder` has its final norm."""
        return f"{self.path.removesuffix('layers.')}norm"

    @property
    def places(self) -> dict[str, str]:
        """From the names of its tensors to those of the template's."""
        parts = _shapes(self.width, self.inner, self.bias)
        numbered = [f"{number}.{part}" for number in range(self.layers) for part in parts]
        return {f"{self.path}{name}": f"encoder.layers.{name}" for name in numbered}


def encoder_stack(specs: Mapping[str, TensorSpec]) -> EncoderStack | None:
    """The only such stack; None if there is none, several, or an unusual one."""
    paths = [match[1] for name in specs if (match := _FIRST.fullmatch(name))]
    if len(paths) != 1:
        return None
    inside = re.compile(re.escape(paths[0]) + r"(\d+)\.(.+)")
    found = {name: match for name in specs if (match := inside.fullmatch(name))}
    first = {match[2]: specs[name].shape for name, match in found.items() if match[1] == "0"}
    numbers = {match[1] for match in found.values()}
    stack = _stack(paths[0], len(numbers), first)
    if stack is None or stack.places.keys() != found.keys():
        return None
    same = all(specs[name].shape == first[match[2]] for name, match in found.items())
    return stack if same else None


def _stack(path: str, layers: int, first: Mapping[str, tuple[int, ...]]) -> EncoderStack | None:
    """By the shapes of the first layer, all of which must fit."""
    telling = first["self_attn.in_proj_weight"], first.get("linear1.weight", ())
    if any(len(shape) != 2 or 0 in shape for shape in telling):
        return None
    (_, width), (inner, _) = telling
    bias = "linear1.bias" in first
    fits = first == _shapes(width, inner, bias)
    return EncoderStack(path, layers, width, inner, bias) if fits else None


def _shapes(width: int, inner: int, bias: bool) -> dict[str, tuple[int, ...]]:
    weights = {
        "self_attn.in_proj_": (3 * width, width),
        "self_attn.out_proj.": (width, width),
        "linear1.": (inner, width),
        "linear2.": (width, inner),
        "norm1.": (width,),
        "norm2.": (width,),
    }
    biases = {f"{part}bias": shape[:1] for part, shape in weights.items() if bias}
    return {f"{part}weight": shape for part, shape in weights.items()} | biases
