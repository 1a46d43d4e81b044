"""State dicts of minGPT, whose blocks keep their causal masks."""

from dataclasses import replace

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.gpt_names import Decoder, decoder
from seqprobe.checkpoints.layouts.hyperparameters import head_counts, narrowed, said, settled
from seqprobe.checkpoints.layouts.layout import Layout

_HEADS_BY_TYPE = {
    "openai-gpt": 12, "gpt2": 12, "gpt2-medium": 16, "gpt2-large": 20, "gpt2-xl": 25,
    "gopher-44m": 16, "gpt-mini": 6, "gpt-micro": 4, "gpt-nano": 3,
}  # fmt: skip


def recognise(contents: Contents) -> Layout | None:
    """The heads may stand in the `config.json` that its projects write beside the weights."""
    found = decoder(contents)
    if found is None or not is_mingpt(contents, found):
        return None
    candidates = head_counts(contents, found.sizes["n_embd"])
    of_type = _HEADS_BY_TYPE.get(str(said(contents, "model_type")))
    stated, unknowns = settled(
        {"n_head": narrowed(of_type, candidates), "activation": ("gelu_tanh",)}
    )
    layout = replace(found.layout("minGPT"), stated=stated, unknowns=unknowns)
    return covering(layout, contents)


def is_mingpt(contents: Contents, found: Decoder) -> bool:
    """Old files of nanoGPT have masks too, but their sizes stand beside them."""
    masked = bool(found.masks) and bool(found.sizes["bias"])
    return masked and not found.conv1d and "model_args" not in contents.beside
