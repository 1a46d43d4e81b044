"""What a recurrent model does that no tensor shows: pooling, activations, residual sums."""

from typing import Any

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.chain import Chain
from seqprobe.checkpoints.layouts.hyperparameters import narrowed, said

_ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "GELU": "gelu", "LeakyReLU": "leaky_relu"}
_AFTER_LINEAR = ("none", *_ACTIVATIONS.values())
_UNMISTAKABLE = ("mean", "max", "none")
_LENGTHS = ("bptt", "seq_len", "seq_length", "sequence_length")


def open_questions(contents: Contents, chain: Chain) -> dict[str, tuple[Any, ...]]:
    """Candidates for the template's arguments, the usual one first; one if the file tells."""
    questions = {"pooling": _poolings(contents, chain)}
    if any(layer.kind == "rnn" for layer in chain.recurrences):
        questions["nonlinearity"] = narrowed(_nonlinearity(contents), ("tanh", "relu"))
    if len(chain.head) > 1:
        usual = "none" if chain.predicts_tokens else "relu"
        candidates = tuple(dict.fromkeys((usual, *_AFTER_LINEAR)))
        questions["activation"] = narrowed(_activation(contents), candidates)
    if chain.projection:
        questions["projection_activation"] = _AFTER_LINEAR
    if len(chain.recurrences) > 1 and any(one.inputs == one.outputs for one in chain.recurrences):
        questions["residual"] = narrowed(said(contents, "residual"), (False, True))
    return questions


def trained_length(contents: Contents) -> int | None:
    """Steps of the sequences in training, where a hyper-parameter is named so."""
    length = said(contents, *_LENGTHS)
    return length if type(length) is int and length > 0 else None


def _poolings(contents: Contents, chain: Chain) -> tuple[str, ...]:
    """Of two directions, "last" may mean their last states or the last step of both."""
    if chain.predicts_tokens:
        return ("none",)
    stated, both_ways = said(contents, "pooling"), chain.recurrences[-1].bidirectional
    if stated in _UNMISTAKABLE or (stated == "last" and not both_ways):
        return (stated,)
    ends = ("final", "final_backward_first", "last") if both_ways else ("last",)
    return (*ends, *_UNMISTAKABLE)


def _nonlinearity(contents: Contents) -> Any:
    """Spelled RNN_TANH or RNN_RELU in a pickled layer, and by those who follow it."""
    mode = said(contents, "nonlinearity", "rnn_type", "mode")
    return mode.lower().removeprefix("rnn_") if isinstance(mode, str) else None


def _activation(contents: Contents) -> str | None:
    """A pickled model shows the one that it holds as a module."""
    kinds = {module.kind for module in contents.modules.values()}
    held = {
        name
        for kind, name in _ACTIVATIONS.items()
        if f"torch.nn.modules.activation.{kind}" in kinds
    }
    return held.pop() if len(held) == 1 else None
