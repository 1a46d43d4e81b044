"""The recurrent models of `word_language_model` in PyTorch's examples."""

from dataclasses import replace

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.checkpoints.layouts.recurrent import language_model


def recognise(contents: Contents) -> Layout | None:
    """One recurrent module between an encoder and a decoder; it may be saved whole.

    The original is time-first and returns the logarithms of probabilities; as logits they are the
    same model.
    """
    around = {name for name in contents.plain if not name.startswith("rnn.")}
    if not {"encoder.weight", "decoder.bias"} <= around:
        return None
    if around - {"encoder.weight", "decoder.bias", "decoder.weight"}:
        return None
    found = language_model(contents)
    if found is None or found.settings["recurrences"][0]["bidirectional"]:
        return None
    return replace(found, name="word_language_model RNN")
