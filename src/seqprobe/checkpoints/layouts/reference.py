"""Files written by `seqprobe train`: the architecture stands in the file."""

from typing import Any

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.errors import FileError

FORMAT = "seqprobe.reference/1"


def recognise(contents: Contents) -> Layout | None:
    """Whatever says that it is one; the template refuses sizes that do not fit."""
    written = str(contents.beside.get("format", ""))
    if not written.startswith("seqprobe.reference/"):
        return None
    if written != FORMAT:
        raise FileError(
            "written by another version of seqprobe",
            where=contents.name,
            got=written,
            expected=FORMAT,
            do="Update seqprobe, or train it again.",
        )
    architecture = _architecture(contents)
    return Layout(
        name="seqprobe train",
        template="seqprobe.reference.language_models:build",
        settings=architecture,
        names={name: name for name in contents.weights},
        vocab_size=architecture["vocab_size"],
        certain=True,
        trained_length=architecture["context"],
        data=_task(contents.beside.get("card")),
    )


def _task(card: Any) -> str | None:
    """`synthetic:recall-16-1024` for these distances; of a text the file holds the name alone."""
    recipe = card.get("recipe") if isinstance(card, dict) else None
    if not isinstance(recipe, dict) or recipe.get("data") not in ("copy", "recall"):
        return None
    distances = [recipe[name] for name in ("shortest", "distance") if recipe.get(name)]
    return "-".join([f"synthetic:{recipe['data']}", *map(str, distances)])


def _architecture(contents: Contents) -> dict[str, Any]:
    found = contents.beside.get("architecture")
    if isinstance(found, dict):
        sizes = [found.get(name) for name in ("vocab_size", "context")]
        if all(isinstance(size, int) and size > 0 for size in sizes):
            return found
    raise FileError(
        "its architecture cannot be read",
        where=contents.name,
        got=f"{found!r}"[:100],
        do="Train it again with `seqprobe train`.",
    )
