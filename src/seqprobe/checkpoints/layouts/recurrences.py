"""Recurrent layers found in a state dict by the names that PyTorch gives to their tensors."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqprobe.checkpoints.tensors import TensorSpec

# Weight drop keeps the weight itself under a name that ends in _raw.
_NAME = re.compile(
    r"(?:(?P<path>.+)\.)?(?P<own>(?:weight_(?:ih|hh|hr)|bias_(?:ih|hh))_l[0-9]{1,3}(?:_reverse)?)"
    r"(?P<raw>_raw)?"
)
_GATES = {"rnn": 1, "gru": 3, "lstm": 4}
_KINDS = {gates: kind for kind, gates in _GATES.items()}


@dataclass(frozen=True)
class Recurrence:
    """One `nn.RNN`, `nn.LSTM` or `nn.GRU`; `names` are its own ones of the state dict's names."""

    path: str
    kind: str
    inputs: int
    hidden: int
    layers: int
    bidirectional: bool
    bias: bool
    projected: int
    names: Mapping[str, str]

    @property
    def directions(self) -> int:
        """One or two."""
        return 1 + self.bidirectional

    @property
    def outputs(self) -> int:
        """The width of what it gives per step."""
        return self.directions * (self.projected or self.hidden)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build it."""
        projected = {"proj_size": self.projected} if self.projected else {}
        return {
            "kind": self.kind,
            "input_size": self.inputs,
            "hidden_size": self.hidden,
            "num_layers": self.layers,
            "bias": self.bias,
            "bidirectional": self.bidirectional,
            **projected,
        }

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Of its tensors, as PyTorch has them."""
        rows, state = _GATES[self.kind] * self.hidden, self.projected or self.hidden
        for layer in range(self.layers):
            for direction in ("", "_reverse")[: self.directions]:
                end = f"l{layer}{direction}"
                yield f"weight_ih_{end}", (rows, self.outputs if layer else self.inputs)
                yield f"weight_hh_{end}", (rows, state)
                if self.bias:
                    yield f"bias_ih_{end}", (rows,)
                    yield f"bias_hh_{end}", (rows,)
                if self.projected:
                    yield f"weight_hr_{end}", (self.projected, self.hidden)


def recurrences(weights: Mapping[str, TensorSpec]) -> tuple[tuple[Recurrence, ...], frozenset[str]]:
    """All of a state dict, in its order, and the names that only repeat one of their weights."""
    groups: dict[str, dict[str, str]] = {}
    repeated = set()
    for name, match in ((name, _NAME.fullmatch(name)) for name in weights):
        if match is None:
            continue
        own = groups.setdefault(match["path"] or "", {})
        if match["raw"] and match["own"] in own:
            repeated.add(own.pop(match["own"]))
        if match["own"] in own:
            repeated.add(name)
        else:
            own[match["own"]] = name
    found = (_recurrence(path, own, weights) for path, own in groups.items())
    return tuple(each for each in found if each is not None), frozenset(repeated)


def _recurrence(
    path: str, names: Mapping[str, str], weights: Mapping[str, TensorSpec]
) -> Recurrence | None:
    """None if the tensors are not just those of one PyTorch layer."""
    shapes = {own: weights[name].shape for own, name in names.items()}
    entering, carried = shapes.get("weight_ih_l0", ()), shapes.get("weight_hh_l0", ())
    projection = shapes.get("weight_hr_l0", ())
    if len(entering) != 2 or len(carried) != 2 or len(projection) == 1:
        return None
    if any(0 in shape for shape in shapes.values()):
        return None
    hidden = projection[1] if projection else carried[1]
    kind = _KINDS.get(carried[0] // hidden)
    if kind is None or (projection and kind != "lstm"):
        return None
    layer = Recurrence(
        path=path,
        kind=kind,
        inputs=entering[1],
        hidden=hidden,
        layers=len({own.split("_")[2] for own in shapes}),
        bidirectional="weight_ih_l0_reverse" in shapes,
        bias="bias_ih_l0" in shapes,
        projected=projection[0] if projection else 0,
        names=names,
    )
    return layer if dict(layer.shapes()) == shapes else None
