"""A word is a token, as in the word_language_model of pytorch/examples."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.sequences.tokenizers.tokenizer import decoded
from seqprobe.sequences.tokenizers.unknown_pieces import refuse, unknown_token

END_OF_LINE = "<eos>"


@dataclass(frozen=True)
class Words:
    """Whatever whitespace separates; <eos> ends each line where the vocabulary has it."""

    texts: tuple[str, ...]
    name: str
    unit: str = "words"

    @classmethod
    def by_first_appearance(cls, texts: Iterable[str], most: int | None = None) -> "Words":
        """Of all texts, line ends included; counting stops beyond `most` words."""
        every = dict.fromkeys(islice(_distinct(texts), most and most + 1))
        return cls(tuple(every), f"words ({len(every):,}, by first appearance)")

    @property
    def size(self) -> int:
        return len(self.texts)

    def encode(self, text: bytes) -> Int[Tensor, " tokens"]:
        words = list(_words(decoded(text), lines=END_OF_LINE in self._ids))
        unknown = unknown_token(self._ids)
        if unknown is None:
            missing = [word for word in words if word not in self._ids]
            if missing:
                raise refuse(missing, self.name, self.unit)
        return torch.tensor([self._ids.get(word, unknown) for word in words], dtype=torch.int32)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {text: token for token, text in enumerate(self.texts)}


def _distinct(texts: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        for word in _words(text, lines=True):
            if word not in seen:
                seen.add(word)
                yield word


def _words(text: str, *, lines: bool) -> Iterator[str]:
    if not lines:
        yield from text.split()
        return
    for line in io.StringIO(text):
        yield from line.split()
        yield END_OF_LINE
