"""AWD-LSTM: recurrent layers in modules of their own, with weight drop or without.

Regularizing and Optimizing LSTM Language Models (Merity, Keskar and Socher, 2018).
"""

from dataclasses import replace

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.layouts.recurrent import DO, knowing, language_model

_PARTS = ("encoder.", "rnns.", "decoder.")
_ONE_SOFTMAX = 75_000


def recognise(contents: Contents) -> Layout | Named | None:
    """Weights are dropped in training only: the raw ones are the weights.

    For vocabularies over 75,000 tokens the original's criterion, which is no part of the model,
    makes a softmax in stages: the decoder's outputs alone are no logits.
    """
    names = contents.plain.keys()
    if not {"encoder.weight", "decoder.bias"} <= names:
        return None
    if not all(name.startswith(_PARTS) for name in names):
        return None
    if any(name.startswith("rnns.") and ".linear." in name for name in names):
        return Named("AWD-LSTM of QRNN layers", "a template of quasi-recurrent layers", DO)
    found = language_model(contents)
    if found is None:
        return None
    if found.vocab_size and found.vocab_size > _ONE_SOFTMAX:
        stages = f"the stages of its softmax over {found.vocab_size:,} tokens"
        return Named("AWD-LSTM", stages, DO)
    return replace(knowing(found, residual=False), name="AWD-LSTM")
