"""Numbers that are tokens already: a list as text, an array of numpy, or nanoGPT's train.bin."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.errors import FileError
from seqprobe.sequences.integer_files import NUMPY, array_of

_LIST = re.compile(rb"[\s,]*+(?:\d{1,9}+(?:[\s,]++|\Z))++")
_WIDEST_HIGH_HALF = 16


@dataclass(frozen=True)
class Integers:
    """`size` is that of the model, for the numbers do not tell."""

    size: int
    name: str = "integers"
    unit: str = "integers"

    @property
    def texts(self) -> Sequence[str]:
        return [str(token) for token in range(self.size)]

    def encode(self, text: bytes) -> Int[Tensor, " tokens"]:
        if text.startswith(NUMPY):
            numbers = array_of(text, "")
        else:
            numbers = _listed(text) if is_list(text) else _binary(text)
        return torch.from_numpy(numbers.astype(np.int32))


def is_list(text: bytes) -> bool:
    """Whether it is text: integers of at most nine digits, whitespace or commas between them."""
    return _LIST.fullmatch(text) is not None


def _listed(text: bytes) -> np.ndarray:
    return np.array(text.replace(b",", b" ").split()).astype(np.int64)


def _binary(text: bytes) -> np.ndarray:
    if len(text) % 2 or _is_text(text):
        raise _no_tokens("an odd number of bytes" if len(text) % 2 else "text of another kind")
    halves = np.frombuffer(text, dtype="<u2")
    wide = len(text) % 4 == 0 and _are_halves(low=halves[::2], high=halves[1::2])
    return np.frombuffer(text, dtype="<u4") if wide else halves


def _is_text(text: bytes) -> bool:
    """Numbers of 16 bits have bytes of zero, or bytes that are no UTF-8."""
    try:
        return b"\0" not in text and bool(text.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _are_halves(low: np.ndarray, high: np.ndarray) -> bool:
    """Whether these are numbers of 32 bits: the upper halves are zero, or small as no token is."""
    return not high.any() or bool(high.max() < _WIDEST_HIGH_HALF <= low.max())


def _no_tokens(got: str) -> FileError:
    return FileError(
        "the data are no tokens",
        got=got,
        expected="integers with whitespace or commas between them, an .npy file of integers, or "
        "uint16 or uint32 as nanoGPT writes them",
        do="Check --data, or use another --tokenizer.",
    )
