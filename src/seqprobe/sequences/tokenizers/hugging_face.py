"""A tokenizer.json, as the `tokenizers` library writes and reads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.tokenizers.tokenizer import decoded

if TYPE_CHECKING:
    import tokenizers

FILE = "tokenizer.json"
_BROKEN = "\ufffd"


@dataclass(frozen=True)
class HuggingFace:
    """Texts are encoded in one piece, without the special tokens around them."""

    library: "tokenizers.Tokenizer"
    texts: tuple[str, ...]
    name: str
    unit: str

    @property
    def size(self) -> int:
        return len(self.texts)

    def encode(self, text: bytes) -> Int[Tensor, " tokens"]:
        ids = self.library.encode(decoded(text), add_special_tokens=False).ids
        return torch.tensor(ids, dtype=torch.int32)


def is_hugging_face(text: bytes) -> bool:
    """Whether it is a tokenizer.json, whatever its name: its model has a description."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(read, dict) and isinstance(read.get("model"), dict)


def hugging_face(path: Path) -> HuggingFace:
    """The tokenizer in a file, without the cutting and padding that it may ask for.

    Raises:
        UsageError: the library is not installed.
        FileError: the file is not one of its own.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise UsageError(
            "needs the tokenizers library",
            where=path.name,
            do="Install it: pip install 'seqprobe[hf]'.",
        ) from error
    try:
        library = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise FileError(
            "not a tokenizer of Hugging Face",
            where=path.name,
            got=str(error).split("\n")[0],
            do="Give the tokenizer.json that was saved with the model.",
        ) from error
    library.no_truncation()
    library.no_padding()
    return HuggingFace(
        library, _texts(library), f"{path.name} (Hugging Face)", f"tokens of {path.name}"
    )


def _texts(library: "tokenizers.Tokenizer") -> tuple[str, ...]:
    """As text where a token is one by itself, else as it is written in the vocabulary."""
    size = max(library.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    read = library.decode_batch([[token] for token in range(size)], skip_special_tokens=False)
    return tuple(
        library.id_to_token(token) or "" if not text or _BROKEN in text else text
        for token, text in enumerate(read)
    )
