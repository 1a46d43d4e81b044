"""A character is a token, as in nanoGPT's shakespeare_char and in minGPT."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.sequences.tokenizers.tokenizer import decoded
from seqprobe.sequences.tokenizers.unknown_pieces import refuse, unknown_token

CODE_POINTS = 0x110000
MISSING = -1


@dataclass(frozen=True)
class Characters:
    """Entries of more than one character are tokens that no text contains, such as <unk>."""

    texts: tuple[str, ...]
    name: str
    unit: str = "characters"

    @classmethod
    def sorted(cls, texts: Iterable[str]) -> "Characters":
        """In the order of their code points."""
        seen = np.zeros(CODE_POINTS, dtype=bool)
        for text in texts:
            seen[_points(text)] = True
        characters = [chr(point) for point in np.flatnonzero(seen)]
        return cls(tuple(characters), f"characters ({len(characters):,}, sorted)")

    @classmethod
    def by_first_appearance(cls, texts: Iterable[str]) -> "Characters":
        """In the order in which the texts bring them."""
        characters = dict.fromkeys(character for text in texts for character in dict.fromkeys(text))
        return cls(tuple(characters), f"characters ({len(characters):,}, by first appearance)")

    @property
    def size(self) -> int:
        return len(self.texts)

    def encode(self, text: bytes) -> Int[Tensor, " tokens"]:
        points = _points(decoded(text))
        tokens = self._table[points]
        unknown = points[tokens == MISSING]
        if len(unknown):
            raise refuse([chr(point) for point in unknown], self.name, self.unit)
        return torch.from_numpy(tokens)

    @cached_property
    def _table(self) -> np.ndarray:
        """The token of every code point."""
        ids = {text: token for token, text in enumerate(self.texts)}
        unknown = unknown_token(ids)
        table = np.full(CODE_POINTS, MISSING if unknown is None else unknown, dtype=np.int32)
        for text, token in ids.items():
            if len(text) == 1:
                table[ord(text)] = token
        return table


def _points(text: str) -> np.ndarray:
    """The code point of each character."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
