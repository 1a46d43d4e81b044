"""Which layout a file has: the particular ones are asked before the general ones."""

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts import (
    awd_lstm,
    flair,
    gpt2,
    huggingface,
    litgpt,
    mamba,
    mingpt,
    named,
    nanogpt,
    recurrent,
    reference,
    transformer_encoder,
    unknown,
    word_language_model,
)
from seqprobe.checkpoints.layouts.layout import Layout, Named

_PARTICULAR = (
    reference,
    word_language_model,
    awd_lstm,
    flair,
    nanogpt,
    mingpt,
    gpt2,
    litgpt,
    mamba,
    huggingface,
    transformer_encoder,
)


def recognise(contents: Contents) -> Layout | Named:
    """The first particular layout that knows the file; else stacked recurrences, if they are all
    there is to it; else what it is called.
    """
    claims: list[Layout | Named | None] = [each.recognise(contents) for each in _PARTICULAR]
    for claim in claims:
        if claim is not None:
            return claim
    general = recurrent.recognise(contents)
    if isinstance(general, Layout):
        return general
    return named.recognise(contents) or general or unknown.unknown(contents)
