"""Recipes of the reference checkpoints with long context, and of small ones like them.

LSTM, GRU, RNN and attention on the standard library, on recall and on copy: within a task equal
tokens, and equal parameters to 4 %, learned positions counted like all others. The small ones, for
a CPU, are equal to 13 %: widths are multiples of 8.
"""

from collections.abc import Mapping
from typing import Any

from seqprobe.reference.recipe import Recipe, recipe_from

KINDS = ("lstm", "gru", "rnn", "attention")
Settings = Mapping[str, Mapping[str, Any]]
RECALL = {"data": "recall", "shortest": 1}  # from one step on: else an RNN learns nothing
COPY = {"data": "copy", "shortest": 16}

LONG: Settings = {
    "recall": {**RECALL, "distance": 1024, "parameters": 550_000, "batch": 128, "steps": 800},
    "stdlib": {"context": 1024, "parameters": 1_930_000, "batch": 128, "steps": 800},
    "copy": {**COPY, "distance": 1024, "parameters": 1_060_000, "batch": 64, "steps": 600},
}
SMALL: Settings = {
    "recall": {**RECALL, "distance": 32, "parameters": 29_350, "steps": 400},
    "stdlib": {"context": 64, "parameters": 102_000, "steps": 1200},
    "copy": {**COPY, "distance": 32, "shortest": 2, "parameters": 49_800, "steps": 1000},
}
RATES = {"lstm": 4e-3, "gru": 4e-3, "rnn": 1e-3, "attention": 3e-3}


def recipes(tasks: Settings) -> dict[str, Recipe]:
    """By the name of the checkpoint: `lstm-recall`, `lstm-1024` for text, and so on."""
    return {
        f"{kind}-{settings.get('data') or settings['context']}": recipe_from(
            kind, {**settings, "learning_rate": RATES[kind]}
        )
        for settings in tasks.values()
        for kind in KINDS
    }
