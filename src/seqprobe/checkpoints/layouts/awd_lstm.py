"""AWD-LSTM: recurrent layers in modules of their own, with weight drop or without.

Regularizing and Optimizing LSTM Language Models (Merity, Keskar and Socher, 2018).
"""

from dataclasses import replace

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts import recurrent
from seqprobe.checkpoints.layouts.layout import Layout, Named

_PARTS = ("encoder.", "rnns.", "decoder.")
_SPLIT_SOFTMAX = 75_000


def recognise(contents: Contents) -> Layout | Named | None:
    """Dropping weights is for training only: what stands there are the weights.

    Of vocabularies over 75,000 tokens its criterion, which is no part of the model, makes a
    softmax in several stages; the outputs of such a model are no logits of one softmax.
    """
    names = contents.plain.keys()
    if not names >= {"encoder.weight", "decoder.bias"}:
        return None
    if not all(name.startswith(_PARTS) for name in names) or not any("rnns." in n for n in names):
        return None
    if any(".linear." in name for name in names):
        return Named("AWD-LSTM of QRNN layers", "a quasi-recurrent template", recurrent.DO)
    found = recurrent.recognise(contents)
    if not isinstance(found, Layout) or found.stated.get("pooling") != "none":
        return None
    if found.vocab_size and found.vocab_size > _SPLIT_SOFTMAX:
        return Named(
            "AWD-LSTM", f"a softmax in stages over {found.vocab_size:,} tokens", recurrent.DO
        )
    unknowns = tuple(each for each in found.unknowns if each.name != "residual")
    stated = {**found.stated, **({"residual": False} if unknowns != found.unknowns else {})}
    return replace(found, name="AWD-LSTM", stated=stated, unknowns=unknowns)
