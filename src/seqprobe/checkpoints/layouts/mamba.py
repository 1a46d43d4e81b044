"""Mamba (the first), with the names of state-spaces/mamba or of transformers."""

import re
from collections.abc import Mapping
from typing import Any

from seqprobe.checkpoints.contents import Contents, unwrapped
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.layout import Layout

_TEMPLATE = "seqprobe.checkpoints.templates.mamba:Mamba"
_LAYER = re.compile(r"backbone\.layers\.(\d+)\.")
_MIXER = "backbone.layers.0.mixer"
_TELLING = ("in_proj.weight", "x_proj.weight", "A_log", "conv1d.weight")

Shapes = dict[str, tuple[int, ...]]


def recognise(contents: Contents) -> Layout | None:
    """Everything but the norms' epsilon follows from shapes."""
    places = {_place(name): file for name, file in unwrapped(contents.weights).items()}
    specs = {place: contents.weights[file] for place, file in places.items()}
    shapes = {place: spec.shape for place, spec in specs.items()}
    epsilon, settings = _epsilon(contents.beside.get("config.json")), _settings(shapes)
    if (
        epsilon is None
        or settings is None
        or shapes != _expected(**settings, head="lm_head.weight" in shapes)
    ):
        return None
    table = specs["backbone.embedding.weight"]
    layout = Layout(
        "Mamba",
        _TEMPLATE,
        settings={**settings, "tied": specs.get("lm_head.weight", table) == table},
        stated={"epsilon": epsilon},
        names={file: place for place, file in places.items()},
        vocab_size=settings["vocab_size"],
    )
    return covering(layout, contents)


def _epsilon(config: Any) -> float | None:
    """None where the configuration is that of another model with the same tensors."""
    said = {"model_type": "mamba", "hidden_act": "silu", "layer_norm_epsilon": 1e-5}
    said |= config if isinstance(config, Mapping) else {}  # 1e-5 is fixed in state-spaces/mamba
    other = (said["model_type"], said["hidden_act"]) != ("mamba", "silu")
    epsilon = said["layer_norm_epsilon"]
    return None if other or not isinstance(epsilon, int | float) else epsilon


def _place(name: str) -> str:
    """In transformers it is `embeddings`, and there is no `backbone` where there is no head."""
    if not name.startswith(("backbone.", "lm_head.")):
        name = f"backbone.{name}"
    return name.replace("backbone.embeddings.", "backbone.embedding.")


def _settings(shapes: Shapes) -> dict[str, Any] | None:
    telling = [shapes.get(f"{_MIXER}.{part}", ()) for part in _TELLING]
    table = shapes.get("backbone.embedding.weight", ())
    if [len(shape) for shape in telling] != [2, 2, 2, 3] or len(table) != 2:
        return None
    (_, width), (mapped, inner), (_, state), (_, _, kernel) = telling
    return {
        "vocab_size": table[0],
        "width": width,
        "layers": len({found[1] for name in shapes if (found := _LAYER.match(name))}),
        "inner": inner,
        "state": state,
        "kernel": kernel,
        "rank": mapped - 2 * state,
        "bias": f"{_MIXER}.in_proj.bias" in shapes,
        "conv_bias": f"{_MIXER}.conv1d.bias" in shapes,
        "layer_norm": "backbone.norm_f.bias" in shapes,
    }


def _expected(
    *,
    vocab_size: int,
    width: int,
    layers: int,
    inner: int,
    state: int,
    kernel: int,
    rank: int,
    bias: bool,
    conv_bias: bool,
    layer_norm: bool,
    head: bool,
) -> Shapes:
    """Every tensor of such a model and its shape."""
    mixer: Shapes = {
        "A_log": (inner, state),
        "D": (inner,),
        "in_proj.weight": (2 * inner, width),
        "conv1d.weight": (inner, 1, kernel),
        "x_proj.weight": (rank + 2 * state, inner),
        "dt_proj.weight": (inner, rank),
        "dt_proj.bias": (inner,),
        "out_proj.weight": (width, inner),
    }
    mixer |= {"in_proj.bias": (2 * inner,), "out_proj.bias": (width,)} if bias else {}
    mixer |= {"conv1d.bias": (inner,)} if conv_bias else {}
    norm: Shapes = dict.fromkeys(("weight", "bias") if layer_norm else ("weight",), (width,))
    block = {f"mixer.{name}": shape for name, shape in mixer.items()}
    block |= {f"norm.{name}": shape for name, shape in norm.items()}
    expected: Shapes = {
        f"layers.{n}.{name}": shape for n in range(layers) for name, shape in block.items()
    }
    expected |= {f"norm_f.{name}": shape for name, shape in norm.items()}
    expected["embedding.weight"] = (vocab_size, width)
    whole = {f"backbone.{name}": shape for name, shape in expected.items()}
    return whole | ({"lm_head.weight": (vocab_size, width)} if head else {})
