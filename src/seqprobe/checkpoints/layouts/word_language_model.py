"""The recurrent models of `word_language_model` in PyTorch's examples."""

from dataclasses import replace

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts import recurrent
from seqprobe.checkpoints.layouts.layout import Layout

_OWN = {"encoder.weight", "decoder.weight", "decoder.bias"}


def recognise(contents: Contents) -> Layout | None:
    """One recurrent module between an encoder and a decoder; it may be saved whole.

    The original is time-first and returns the logarithms of probabilities; as logits they are the
    same model.
    """
    names = contents.plain.keys()
    found = recurrent.recognise(contents)
    if not {"encoder.weight", "decoder.bias", "rnn.weight_ih_l0"} <= names:
        return None
    if not isinstance(found, Layout) or found.stated.get("pooling") != "none":
        return None
    if any(name not in _OWN and not name.startswith("rnn.") for name in names):
        return None
    return replace(found, name="word_language_model RNN")
