"""`model_config.yaml` of litgpt: which of its options can be rebuilt."""

from collections.abc import Callable, Mapping
from typing import Any

from seqprobe.checkpoints.pickles.opaque import shown

MLPS = {"GptNeoxMLP": ("fc",), "LLaMAMLP": ("fc_1", "fc_2"), "GemmaMLP": ("fc_1", "fc_2")}
_LLAMA_3 = {"factor", "low_freq_factor", "high_freq_factor", "original_max_seq_len"}


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _count_or_none(value: Any) -> bool:
    return value is None or _count(value)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _adjustments(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return value is None
    return set(value) in ({"factor"}, _LLAMA_3) and all(map(_positive, value.values()))


_OPTIONS: Mapping[str, tuple[Any, Callable[[Any], bool]]] = {  # litgpt's default, and what may be
    "n_head": (32, _count),
    "n_query_groups": (None, _count_or_none),
    "head_size": (None, _count_or_none),
    "norm_class_name": ("LayerNorm", ("LayerNorm", "RMSNorm").__contains__),
    "norm_eps": (1e-5, _positive),
    "mlp_class_name": ("GptNeoxMLP", tuple(MLPS).__contains__),
    "gelu_approximate": ("none", ("none", "tanh").__contains__),
    "rotary_percentage": (0.25, _share),
    "rope_base": (10000, _positive),
    "rope_condense_ratio": (1, _positive),
    "rope_adjustments": (None, _adjustments),
    "parallel_residual": (True, _flag),
    "shared_attention_norm": (False, _flag),
    "scale_embeddings": (False, _flag),
}
_TOLD_BY_SHAPES = {
    "n_layer", "n_embd", "vocab_size", "padded_vocab_size", "padding_multiple",
    "intermediate_size", "bias", "attn_bias", "lm_head_bias",
}  # fmt: skip
_WITHOUT_EFFECT = {
    "name",
    "hf_config",
    "org",
    "norm_qk_type",
    "routed_scaling_factor",
    "sliding_window_indices",
    "rope_indices",  # of options that are named themselves
}
_ALWAYS = {"norm_1", "norm_2"}


def stated(config: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The options that shapes do not tell, for a residual stream of `width` numbers.

    Where the file is silent they are at litgpt's defaults.

    Raises:
        ValueError: names an option that the template does not have, or a value that is none.
    """
    for name, value in config.items():
        if not _can_be(name, value):
            raise ValueError(shown(f"{name}: {value}"))
    options = {name: config.get(name, usual) for name, (usual, _) in _OPTIONS.items()}
    options["n_query_groups"] = options["n_query_groups"] or options["n_head"]
    options["head_size"] = options["head_size"] or width // options["n_head"]
    if options["n_head"] % options["n_query_groups"]:
        raise ValueError(f"n_query_groups: {options['n_query_groups']}")
    if int(options["rotary_percentage"] * options["head_size"]) % 2:
        raise ValueError(f"rotary_percentage: {options['rotary_percentage']}")
    if options["shared_attention_norm"] and not options["parallel_residual"]:
        raise ValueError("shared_attention_norm: True")
    if options["norm_class_name"] == "RMSNorm" and "Gemma" in str(config.get("name")):
        options["norm_class_name"] = "GemmaRMSNorm"  # litgpt, too, goes by the model's name
    return options


def _can_be(name: str, value: Any) -> bool:
    if name in _OPTIONS:
        return _OPTIONS[name][1](value)
    if name == "block_size":
        return _count(value)
    if name in _TOLD_BY_SHAPES | _WITHOUT_EFFECT:
        return True
    return value is True if name in _ALWAYS else not value
