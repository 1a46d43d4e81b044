"""Why a folder of transformers is not rebuilt."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seqprobe.checkpoints.layouts.layout import Named
from seqprobe.checkpoints.pickles.opaque import shown
from seqprobe.checkpoints.tensors import TensorSpec

_FACTORY = "Give what builds it: --model pkg.module:factory."
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTHS = ("hidden_size", "n_embd", "d_model", "dim")
_ENCODERS = {
    "bert", "camembert", "electra", "ernie", "megatron-bert", "roberta", "roformer", "xlm",
    "xlm-roberta", "xlnet",
}  # fmt: skip
_EXPERT = re.compile(r".*\.experts\.\d+\..*")


@dataclass(frozen=True)
class Folder:
    """What refusals look at."""

    config: Mapping[str, Any]
    architecture: str
    task: str | None
    weights: Mapping[str, TensorSpec]

    def has(self, *options: str) -> bool:
        """Whether the configuration sets one of them."""
        return any(self.config.get(option) for option in options)

    def ends(self, *endings: str) -> bool:
        """Whether the class is called so."""
        return self.architecture.endswith(endings)


def refusal(
    config: Mapping[str, Any],
    architecture: str,
    task: str | None,
    weights: Mapping[str, TensorSpec],
) -> Named | None:
    """The first reason, if there is any."""
    folder = Folder(config, architecture, task, weights)
    for applies, missing, do in _REASONS:
        if applies(folder):
            return Named(f"transformers {architecture or shown(config['model_type'])}", missing, do)
    return None


def answers_once(task: str | None, weights: Mapping[str, TensorSpec]) -> bool:
    """Whether it pools its text into one answer, instead of scoring every step."""
    return task == "sequence" and not any(name.endswith("score.weight") for name in weights)


def _sees_what_comes(folder: Folder) -> bool:
    gaps = folder.ends("ForMaskedLM", "ForPreTraining")
    encoder = folder.config["model_type"] in _ENCODERS and not folder.has("is_decoder")
    return gaps or (folder.task == "next token" and encoder)


def _experts(folder: Folder) -> bool:
    return any(_EXPERT.fullmatch(name) for name in folder.weights)


def _sizes_differ(folder: Folder) -> bool:
    """Before a model is built that is far larger than the weights."""
    sizes = {size for spec in folder.weights.values() for size in spec.shape}
    widths = [folder.config[name] for name in (*_WIDTHS, "vocab_size") if name in folder.config]
    counts = [folder.config[name] for name in _COUNTS if name in folder.config]
    if not all(isinstance(number, int) for number in [*widths, *counts]):
        return True
    return not sizes.issuperset(widths) or any(count > len(folder.weights) for count in counts)


_REASONS: tuple[tuple[Callable[[Folder], bool], str, str], ...] = (
    (
        lambda folder: folder.has("auto_map"),
        "its code, which it brings along: nothing of a checkpoint is executed",
        _FACTORY,
    ),
    (
        lambda folder: folder.has("quantization_config"),
        "the numbers before quantisation",
        "Dequantise it first: model.dequantize(), then save_pretrained.",
    ),
    (
        lambda folder: folder.has("is_encoder_decoder") or folder.ends("ForConditionalGeneration"),
        "one sequence of inputs: an encoder and a decoder, or a model of more than text",
        _FACTORY,
    ),
    (
        lambda folder: not folder.architecture,
        "the class that it is of",
        'Name it in config.json, such as "architectures": ["GPT2LMHeadModel"].',
    ),
    (
        _sees_what_comes,
        "a prediction of what comes next: it fills gaps in a text that it sees whole",
        _FACTORY,
    ),
    (
        lambda folder: folder.task is None,
        "outputs per step of a language model, or of a classifier of tokens or sequences",
        "Give the whole model with its head, or --model pkg.module:factory.",
    ),
    (
        _experts,
        "a way to rebuild its mixture of experts",
        _FACTORY,
    ),
    (
        lambda folder: not isinstance(folder.config.get("vocab_size"), int),
        "the number of its tokens",
        "Give vocab_size in config.json.",
    ),
    (
        _sizes_differ,
        "a config.json that fits its weights",
        "Give both from the same folder.",
    ),
)
