"""`lit_model.pth` of litgpt, with the `model_config.yaml` that stands beside it."""

import re
from collections.abc import Mapping
from typing import Any

from seqprobe.checkpoints.contents import Contents, unwrapped
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.layouts.litgpt_config import MLPS, stated

CONFIG = "model_config.yaml"
_TEMPLATE = "seqprobe.checkpoints.templates.litgpt:LitGPT"
_QKV = "transformer.h.0.attn.qkv.weight"
_LAYER = re.compile(r"transformer\.h\.(\d+)\.")
_OLD, _NEW = ".attn.attn.", ".attn.qkv."

Shapes = dict[str, tuple[int, ...]]


def recognise(contents: Contents) -> Layout | Named | None:
    """A decoder of litgpt; names and shapes alone could be read in too many ways."""
    plain = unwrapped(contents.weights)
    places = {name.replace(_OLD, _NEW): file for name, file in plain.items()}
    shapes = {place: contents.weights[file].shape for place, file in places.items()}
    if _QKV not in shapes or len(shapes.get("lm_head.weight", ())) != 2:
        return None
    if not isinstance(config := contents.beside.get(CONFIG), Mapping):
        missing = f"heads, rotary positions and the order of residuals, which stand in {CONFIG}"
        return Named("litgpt", missing, f"Put {CONFIG} beside the weights.")
    settings = _by_shapes(shapes) | {"interleaved": any(_OLD in name for name in plain)}
    try:
        options = stated(config, settings["n_embd"])
    except ValueError as error:
        missing = f"a way to rebuild its option {error}"
        return Named("litgpt", missing, "Convert it with `litgpt convert_from_litgpt`.")
    mixed = settings["interleaved"] and any(_NEW in name for name in plain)
    if mixed or shapes != _expected(**settings, **options):
        return Named("litgpt", f"a {CONFIG} that fits its weights", "Give both from one folder.")
    layout = Layout(
        "litgpt",
        _TEMPLATE,
        settings=settings,
        stated=options,
        names={file: place for place, file in places.items()},
        vocab_size=settings["vocab_size"],
        trained_length=config.get("block_size"),
    )
    return covering(layout, contents)


def _by_shapes(shapes: Shapes) -> dict[str, Any]:
    vocab, width = shapes["lm_head.weight"]
    return {
        "vocab_size": vocab,
        "n_embd": width,
        "n_layer": len({found[1] for name in shapes if (found := _LAYER.match(name))}),
        "intermediate_size": (*shapes.get("transformer.h.0.mlp.proj.weight", ()), 0, 0)[1],
        "affine": "transformer.ln_f.weight" in shapes,
        "bias": "transformer.h.0.attn.proj.bias" in shapes,
        "attn_bias": "transformer.h.0.attn.qkv.bias" in shapes,
        "lm_head_bias": "lm_head.bias" in shapes,
    }


def _expected(
    *,
    vocab_size: int,
    n_embd: int,
    n_layer: int,
    intermediate_size: int,
    affine: bool,
    bias: bool,
    attn_bias: bool,
    lm_head_bias: bool,
    n_head: int,
    n_query_groups: int,
    head_size: int,
    norm_class_name: str,
    mlp_class_name: str,
    shared_attention_norm: bool,
    **_: Any,
) -> Shapes:
    """Every tensor of such a decoder and its shape."""
    heads, rows = n_head * head_size, (n_head + 2 * n_query_groups) * head_size
    norms = ("norm_1",) if shared_attention_norm else ("norm_1", "norm_2")
    block = {
        **_linear("attn.qkv", rows, n_embd, attn_bias),
        **_linear("attn.proj", n_embd, heads, bias),
        **_linear("mlp.proj", n_embd, intermediate_size, bias),
    }
    for part in MLPS[mlp_class_name]:
        block |= _linear(f"mlp.{part}", intermediate_size, n_embd, bias)
    for part in norms if affine else ():
        block |= _norm(part, n_embd, norm_class_name)
    return {
        **_linear("lm_head", vocab_size, n_embd, lm_head_bias),
        "transformer.wte.weight": (vocab_size, n_embd),
        **(_norm("transformer.ln_f", n_embd, norm_class_name) if affine else {}),
        **{
            f"transformer.h.{n}.{name}": shape
            for n in range(n_layer)
            for name, shape in block.items()
        },
    }


def _linear(name: str, rows: int, columns: int, bias: bool) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (rows, columns)}
    return shapes | {f"{name}.bias": (rows,)} if bias else shapes


def _norm(name: str, width: int, kind: str) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (width,)}
    return shapes | {f"{name}.bias": (width,)} if kind == "LayerNorm" else shapes
