"""GPT-2 as the transformers library names and saves it, its linear maps transposed."""

from dataclasses import replace
from typing import Any

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.gpt_names import decoder
from seqprobe.checkpoints.layouts.hyperparameters import head_counts, said, settled
from seqprobe.checkpoints.layouts.layout import Layout, Named

_NAME = "GPT-2 (transformers)"
_EPSILON = "layer_norm_epsilon"
_ACTIVATIONS = {
    "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu": "gelu", "gelu_python": "gelu", "relu": "relu",
}  # fmt: skip


def recognise(contents: Contents) -> Layout | Named | None:
    """Heads, activation and epsilon are those of `config.json`, if it stands beside the weights."""
    found = decoder(contents)
    if found is None or not found.conv1d or said(contents, "model_type") not in (None, "gpt2"):
        return None
    headless = "lm_head.weight" not in found.names.values()
    if option := _unsupported(contents, headless=headless):
        return Named(
            _NAME, f"a template with {option}", "Give what builds it: --model pkg.module:factory."
        )
    activation, epsilon = said(contents, "activation_function"), said(contents, _EPSILON)
    stated, unknowns = settled(
        {
            "n_head": head_counts(contents, found.sizes["n_embd"]),
            "activation": (_ACTIVATIONS[activation],) if activation else ("gelu_tanh", "gelu"),
            "epsilon": (epsilon or 1e-5,),
        }
    )
    return covering(replace(found.layout(_NAME), stated=stated, unknowns=unknowns), contents)


def _unsupported(contents: Contents, *, headless: bool) -> str | None:
    """The first option that is not as the template has it."""
    allowed: dict[str, tuple[Any, ...]] = {
        "activation_function": tuple(_ACTIVATIONS),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "tie_word_embeddings": (True,) if headless else (True, False),
    }
    options = {name: said(contents, name) for name in (*allowed, _EPSILON)}
    for name, values in allowed.items():
        if options[name] not in (None, *values):
            return f"{name}={options[name]!r}"
    if not isinstance(epsilon := options[_EPSILON], float | None):
        return f"{_EPSILON}={epsilon!r}"
    return None
