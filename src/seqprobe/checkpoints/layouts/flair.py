"""Character language models of flair, as its `LanguageModel` saves itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.layouts.recurrent import knowing, language_model

_NAME = "flair language model"
_BESIDE = {"dictionary", "is_forward_lm", "hidden_size", "nlayers", "embedding_size", "nout"}
_PARTS = ("encoder.", "rnn.", "proj.", "decoder.")


def recognise(contents: Contents) -> Layout | Named | None:
    """The dictionary stands beside the weights; a backward model reads its text from the end.

    Between recurrence and decoder there may be a projection, without an activation.
    """
    names = contents.plain.keys()
    if not contents.beside.keys() >= _BESIDE or not all(n.startswith(_PARTS) for n in names):
        return None
    if "decoder.weight" not in names:
        return Named(
            _NAME,
            "its decoder, which was not saved",
            "Give the file that was trained, with its decoder.",
        )
    found = language_model(contents)
    if found is None:
        return None
    return replace(
        knowing(found, activation="none"),
        name=_NAME,
        vocabulary=_items(contents.beside["dictionary"], found.vocab_size),
        reversed=contents.beside["is_forward_lm"] is False,
    )


def _items(dictionary: Any, size: int | None) -> tuple[str | bytes, ...] | None:
    """One for each token, in the order of their numbers."""
    items = dictionary.get("idx2item") if isinstance(dictionary, Mapping) else None
    if not isinstance(items, list | tuple) or len(items) != size:
        return None
    return tuple(items) if all(isinstance(item, str | bytes) for item in items) else None
