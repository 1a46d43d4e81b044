"""Folders of transformers: `config.json` names a class that transformers has the code for."""

import re
from collections.abc import Mapping
from typing import Any

from seqprobe.checkpoints.contents import Contents, unwrapped
from seqprobe.checkpoints.layouts import litgpt
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.huggingface_refusals import answers_once, refusal
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.pickles.opaque import shown

CONFIG = "config.json"
TASKS = {
    "ForCausalLM": "next token",
    "LMHeadModel": "next token",
    "ForTokenClassification": "tokens",
    "ForSequenceClassification": "sequence",
}
_TEMPLATE = "seqprobe.checkpoints.templates.huggingface:HuggingFace"
_BY_PREFIX = "seqprobe.checkpoints.templates.huggingface:Classifier"
_LENGTHS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_BASES = {  # the attribute that holds everything but the head; `model` for all others
    "transformer": {
        "bloom", "codegen", "ctrl", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gptj", "mpt",
        "openai-gpt",
    },
    "bert": {"bert", "big_bird", "megatron-bert"},
    "roberta": {"camembert", "roberta", "xlm-roberta"},
    "backbone": {"falcon_mamba", "mamba", "mamba2", "xlstm"},
    "deberta": {"deberta", "deberta-v2"},
    "language_model": {"llama4_text"},
    **{name: {name} for name in ("albert", "biogpt", "distilbert", "electra", "gpt_neox", "rwkv")},
}  # fmt: skip
_HEADS = {"lm_head", "head", "score", "classifier", "cls"}
_RENAMED = {
    r"LayerNorm\.gamma$": "LayerNorm.weight",
    r"LayerNorm\.beta$": "LayerNorm.bias",
    r"^embed_out\.": "lm_head.",
}
_TABLES = re.compile(r".*(masked_bias|rotary_emb\.inv_freq|position_ids|causal_mask)")
_KERNELS = {"attn_implementation", "experts_implementation"}


def recognise(contents: Contents) -> Layout | Named | None:
    """A model that transformers itself rebuilds, without code of the checkpoint."""
    config = contents.beside.get(CONFIG)
    if not isinstance(config, Mapping) or litgpt.CONFIG in contents.beside:
        return None
    if not isinstance(kind := config.get("model_type"), str):
        return None
    architecture = _architecture(config)
    task = next((TASKS[end] for end in TASKS if architecture.endswith(end)), None)
    if refused := refusal(config, architecture, task, contents.weights):
        return refused
    tables = {name for name in contents.weights if _is_table(name, contents)}
    plain = {new: old for new, old in unwrapped(contents.weights).items() if old not in tables}
    once = answers_once(task, contents.weights)
    layout = Layout(
        f"transformers {architecture}",
        _BY_PREFIX if once else _TEMPLATE,
        settings={"config": _inert(config), "architecture": architecture, "task": task},
        names={
            old: f"{'module' if once else 'model'}.{place}"
            for place, old in _placed(plain, kind).items()
        },
        ignored=frozenset(tables),
        vocab_size=config["vocab_size"],
        predicts_tokens=task == "next token",
        trained_length=_longest(config, kind),
    )
    return covering(layout, contents)


def _architecture(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    return shown(named[0]) if isinstance(named, list) and named else ""


def _inert(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without what chooses kernels, which transformers might fetch from somewhere."""
    return {
        name: value
        for name, value in config.items()
        if not str(name).startswith("_") and name not in _KERNELS
    }


def _is_table(name: str, contents: Contents) -> bool:
    """Masks and angles, which older versions of transformers saved."""
    mask = (
        name.endswith((".attn.bias", ".attention.bias")) and len(contents.weights[name].shape) == 4
    )
    return mask or bool(_TABLES.fullmatch(name))


def _placed(plain: Mapping[str, str], kind: str) -> dict[str, str]:
    """Old names are brought up to date; the name of the base is put back where it is missing."""
    names = {_modern(name): file for name, file in plain.items()}
    base = next((base for base, kinds in _BASES.items() if kind in kinds), None)
    there = {base} if base else {"model", *_BASES}
    if any(name.split(".")[0] in there for name in names):
        return names
    return {
        name if name.split(".")[0] in _HEADS else f"{base or 'model'}.{name}": file
        for name, file in names.items()
    }


def _modern(name: str) -> str:
    for old, new in _RENAMED.items():
        name = re.sub(old, new, name)
    return name


def _longest(config: Mapping[str, Any], kind: str) -> int | None:
    lengths = (config.get(name) for name in _LENGTHS)
    longest = next((length for length in lengths if isinstance(length, int)), None)
    reserved = 2 if kind in _BASES["roberta"] else 0  # positions start after that of padding
    return longest - reserved if longest else None
