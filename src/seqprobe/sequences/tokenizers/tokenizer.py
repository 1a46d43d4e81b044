"""What every tokenizer can do, and how text files are read for those that know characters."""

import io
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from seqprobe.errors import FileError


@runtime_checkable
class Tokenizer(Protocol):
    """From the bytes of a text to the numbers of its tokens."""

    @property
    def name(self) -> str:
        """As reports show it: "bytes", "characters (65, sorted)"."""
        ...

    @property
    def unit(self) -> str:
        """Many of its tokens, in a sentence: "bytes", "words"."""
        ...

    @property
    def size(self) -> int:
        """How many tokens there are."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """What each token stands for."""
        ...

    def encode(self, text: bytes) -> Int[Tensor, " tokens"]:
        """The tokens of a text.

        Raises:
            FileError: the text cannot be read in this way.
            UsageError: it holds what the vocabulary does not.
        """
        ...


def decoded(text: bytes, where: str = "") -> str:
    """As Python's `open` reads text files: UTF-8, and every kind of line end becomes a newline."""
    try:
        return io.TextIOWrapper(io.BytesIO(text), encoding="utf-8").read()
    except UnicodeDecodeError as error:
        utf_16 = text.startswith((b"\xff\xfe", b"\xfe\xff"))
        raise FileError(
            "the text is not UTF-8",
            where=where,
            got="UTF-16" if utf_16 else f"byte 0x{error.object[error.start]:02x}",
            expected="UTF-8",
            do="Convert it, for example with `iconv -t UTF-8`, or use --tokenizer bytes.",
        ) from error
