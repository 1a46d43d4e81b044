"""The last resort: what was seen in a checkpoint that nothing recognises, and the next step."""

import re

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Named
from seqprobe.checkpoints.pickles.opaque import shown

_SEEN = {
    "recurrent layers": r"weight_hh|lstm|gru|rnn",
    "attention": r"attn|attention|q_proj|qkv|in_proj_weight",
    "convolutions": r"conv",
    "an embedding": r"emb|wte",
}
_FIRST = 3


def unknown(contents: Contents) -> Named:
    """Name the file by its class or by what its tensors look like."""
    return Named(
        _name(contents),
        f"its architecture ({_listed(contents)})",
        f"Say what builds it: --model {_factory(contents)} [--set name=value].",
    )


def _name(contents: Contents) -> str:
    if kind := _class(contents):
        return f"pickled {shown(kind)}"
    text = "\n".join(contents.weights)
    seen = [what for what, pattern in _SEEN.items() if re.search(pattern, text, re.IGNORECASE)]
    return f"unknown model with {' and '.join(seen)}" if seen else "unknown model"


def _listed(contents: Contents) -> str:
    first = [f"{shown(name)} {spec.shape}" for name, spec in contents.weights.items()][:_FIRST]
    return f"{len(contents.weights)} tensors, the first {', '.join(first)}"


def _factory(contents: Contents) -> str:
    """Of a pickled model the class itself can build it."""
    module, _, name = _class(contents).rpartition(".")
    return shown(f"{module}:{name}") if module else "pkg.module:factory"


def _class(contents: Contents) -> str:
    model = contents.modules.get("")
    return model.kind if model else ""
