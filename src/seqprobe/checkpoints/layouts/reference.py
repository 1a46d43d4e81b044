"""Files written by `seqprobe train`: the architecture stands in the file."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from seqprobe.errors import FileError
from seqprobe.reference.language_models import build

FORMAT = "seqprobe.reference/1"


def matches(extra: Mapping[str, Any]) -> bool:
    """Whether this file was written by `seqprobe train`."""
    return str(extra.get("format", "")).startswith("seqprobe.reference/")


def trained_length(extra: Mapping[str, Any]) -> int:
    """Tokens of the sequences in training."""
    return int(extra["architecture"]["context"])


def rebuild(extra: Mapping[str, Any], where: str) -> nn.Module:
    """The module, its weights not yet loaded."""
    if extra["format"] != FORMAT:
        raise FileError(
            "written by another version of seqprobe",
            where=where,
            got=extra["format"],
            expected=FORMAT,
            do="Update seqprobe, or train it again.",
        )
    try:
        return build(**extra["architecture"])
    except Exception as error:  # sizes that no module can have fail in torch
        raise FileError(
            "its architecture cannot be read",
            where=where,
            got=f"{error}",
            do="Train it again with `seqprobe train`.",
        ) from error
