"""Files of token numbers in binary: arrays of numpy, and nanoGPT's .bin."""

import io
from pathlib import Path

import numpy as np

from seqprobe.errors import FileError
from seqprobe.sequences import arrays

NUMPY = b"\x93NUMPY"
WIDEST = 4


def are_integers(path: Path, content: bytes) -> bool:
    """By the first bytes of an array; a .bin says nothing but its name."""
    return content.startswith(NUMPY) or path.suffix == ".bin"


def parted(content: bytes, where: str, share: float) -> tuple[bytes, bytes]:
    """All but the last `share`, and that; both in the form of the file."""
    if content.startswith(NUMPY):
        numbers = array_of(content, where).reshape(-1)
        cut = round(len(numbers) * (1 - share))
        return _saved(numbers[:cut]), _saved(numbers[cut:])
    cut = round(len(content) * (1 - share)) // WIDEST * WIDEST
    return content[:cut], content[cut:]


def array_of(content: bytes, where: str) -> np.ndarray:
    """An array of whole numbers that are not negative.

    Raises:
        FileError: it is damaged, or holds something else.
    """
    numbers = arrays.loaded(content)
    if not isinstance(numbers, np.ndarray):
        raise _no_tokens(where, arrays.DAMAGED)
    if numbers.dtype.kind not in "iu":
        raise _no_tokens(where, f"an array of {numbers.dtype}")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < 2**31:
        raise _no_tokens(where, f"numbers from {numbers.min()} to {numbers.max()}")
    return numbers


def _saved(numbers: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, numbers)
    return buffer.getvalue()


def _no_tokens(where: str, got: str) -> FileError:
    return FileError(
        "the data are no tokens",
        where=where,
        got=got,
        expected="an array of integers from 0",
        do="Give the tokens' numbers, or text.",
    )
