"""What becomes of pieces of a text that a vocabulary does not hold."""

from collections.abc import Mapping, Sequence

from seqprobe.errors import UsageError

UNKNOWN = ("<unk>", "<UNK>", "[UNK]")


def unknown_token(ids: Mapping[str, int]) -> int | None:
    """The token that stands for whatever is unknown, if there is one."""
    return next((ids[name] for name in UNKNOWN if name in ids), None)


def refuse(pieces: Sequence[str], name: str, unit: str) -> UsageError:
    """The error about pieces that are unknown where no token stands for them."""
    return UsageError(
        "the text holds what the vocabulary does not",
        where=name,
        got=f"{len(pieces):,} unknown {unit}, the first {pieces[0]!r}",
        expected=f"known {unit}, or a token {UNKNOWN[0]} or {UNKNOWN[-1]}",
        do="Give the text that the model was trained on, or the vocabulary of its training.",
    )
