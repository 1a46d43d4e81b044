"""Models around `nn.TransformerEncoder`, or around a list of `nn.TransformerEncoderLayer`."""

import math
from typing import Any

from seqprobe.checkpoints.contents import Contents, unwrapped
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.encoder_parts import EncoderParts, encoder_parts
from seqprobe.checkpoints.layouts.encoder_stack import EncoderStack, encoder_stack
from seqprobe.checkpoints.layouts.hyperparameters import head_counts, narrowed, said, settled
from seqprobe.checkpoints.layouts.layout import Layout, Named

_TEMPLATE = "seqprobe.checkpoints.templates.encoder:Encoder"
_DO = "Give what builds it: --model pkg.module:factory."
_SECOND_SEQUENCE = Named(
    "nn.TransformerDecoderLayer", "a template of models that attend to a second sequence", _DO
)
_OWN_ACTIVATION = Named("nn.TransformerEncoder", "the activation, a function of its own", _DO)
_WORD_LANGUAGE_MODEL = {
    "encoder.layers.0.norm1.weight", "encoder.norm.weight", "input_emb.weight", "decoder.weight",
    "decoder.bias", "pos_encoder.pe",
}  # fmt: skip


Questions = dict[str, tuple[Any, ...]]


def recognise(contents: Contents) -> Layout | Named | None:
    """One stack of layers between an embedding and a linear head, and nothing else."""
    files = unwrapped(contents.weights)
    specs = {name: contents.weights[file] for name, file in files.items()}
    if any(name.endswith("multihead_attn.in_proj_weight") for name in specs):
        return _SECOND_SEQUENCE
    stack = encoder_stack(specs)
    parts = encoder_parts(specs, stack) if stack else None
    if stack is None or parts is None:
        return None
    questions = _questions(contents, stack, parts)
    example = specs.keys() >= _WORD_LANGUAGE_MODEL
    if example:
        questions |= _as_in_the_example(stack.width)
    if not (questions := _told(contents, questions))["activation"]:
        return _OWN_ACTIVATION
    stated, unknowns = settled(questions)
    layout = Layout(
        "word_language_model Transformer" if example else "nn.TransformerEncoder",
        _TEMPLATE,
        settings=_settings(stack, parts),
        stated=stated,
        unknowns=unknowns,
        names={files[name]: place for name, place in (stack.places | parts.places).items()},
        ignored=frozenset(files[name] for name in parts.masks),
        features=parts.features,
        vocab_size=parts.vocab_size,
        predicts_tokens=parts.predicts_tokens,
        trained_length=parts.learned_positions,
    )
    return covering(layout, contents)


def _settings(stack: EncoderStack, parts: EncoderParts) -> dict[str, Any]:
    """Arguments of the template that follow from shapes and names."""
    return {
        "inputs": parts.vocab_size or parts.features,
        "real_valued": parts.features is not None,
        "outputs": parts.head.outputs,
        "width": stack.width,
        "layers": stack.layers,
        "inner": stack.inner,
        "bias": stack.bias,
        "head_bias": parts.head.bias is not None,
        "tied": parts.embedding.numbers == parts.head.numbers,
        "table": parts.table.shape if parts.table else None,
        "learned": parts.learned_positions is not None,
        "norm_bias": parts.norm is not None and parts.norm.bias,
    }


def _questions(contents: Contents, stack: EncoderStack, parts: EncoderParts) -> Questions:
    """Candidates for what no shape shows, the usual one first."""
    scales = (math.sqrt(stack.width), 1.0)
    causal = parts.predicts_tokens or bool(parts.masks)
    return {
        "nhead": head_counts(contents, stack.width),
        "norm_first": (False, True),
        "activation": ("relu", "gelu"),
        "embedding_scale": scales[::-1] if parts.learned_positions else scales,
        "causal": (causal, not causal),
        "positions": ("table",) if parts.table else ("sinusoidal", "none"),
        "norm": _norm_places(stack, parts),
        "pooling": ("none",) if parts.predicts_tokens else ("mean", "first", "last", "none"),
    }


def _norm_places(stack: EncoderStack, parts: EncoderParts) -> tuple[str, ...]:
    if parts.norm is None:
        return ("none",)
    if parts.norm.path == stack.norm:
        return ("final",)
    return ("final", "embedding") if parts.predicts_tokens else ("final", "pooled", "embedding")


def _as_in_the_example(width: int) -> Questions:
    """What the TransformerModel of pytorch/examples does; its head counts are options."""
    return {
        "norm_first": (False,),
        "activation": ("relu",),
        "embedding_scale": (math.sqrt(width),),
        "causal": (True,),
    }


def _told(contents: Contents, questions: Questions) -> Questions:
    """The questions with what the file answers; no candidate is left for a function of its own."""
    names = ("norm_first", "activation", "causal", "positions", "pooling")
    told = {name: narrowed(said(contents, name), questions[name]) for name in names}
    if isinstance(code := said(contents, "activation_relu_or_gelu"), int):
        told["activation"] = {1: ("relu",), 2: ("gelu",)}.get(code, ())
    return questions | told | {"epsilon": (_epsilon(contents),)}


def _epsilon(contents: Contents) -> float:
    """Of the norms in a pickled model; optimizers have an `eps` too."""
    norms = [one.attributes for one in contents.modules.values() if one.kind.endswith("LayerNorm")]
    found = [one.get("eps") for one in norms] or [said(contents, "layer_norm_eps")]
    first = found[0]
    return first if isinstance(first, float) and all(one == first for one in found) else 1e-5
