"""Checkpoints of nanoGPT's `train.py`, and plain state dicts with the same names."""

import math
from dataclasses import replace
from typing import Any

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.gpt_names import decoder
from seqprobe.checkpoints.layouts.hyperparameters import head_counts, settled
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.checkpoints.layouts.mingpt import is_mingpt


def recognise(contents: Contents) -> Layout | None:
    """Linear maps as `nn.Linear` has them; causal masks only from before PyTorch 2.0.

    The activation changed from the approximate to the exact GELU in May 2023, and no file says
    which of them it was.
    """
    found = decoder(contents)
    if found is None or found.conv1d or is_mingpt(contents, found):
        return None
    stated, unknowns = settled(
        {
            "n_head": head_counts(contents, found.sizes["n_embd"]),
            "activation": ("gelu", "gelu_tanh"),
        }
    )
    layout = replace(
        found.layout("nanoGPT"),
        stated=stated,
        unknowns=unknowns,
        recorded_loss=_loss(contents.beside.get("best_val_loss")),
    )
    return covering(layout, contents)


def _loss(recorded: Any) -> float | None:
    usable = isinstance(recorded, float | int) and math.isfinite(recorded)
    return float(recorded) if usable else None
