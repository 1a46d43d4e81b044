"""The two parts of a corpus in tokens."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.sequences.corpus import Corpus
from seqprobe.sequences.tokenizers.raw_bytes import Bytes
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer


def held_out_tokens(corpus: Corpus, tokenizer: Tokenizer) -> Int[Tensor, " tokens"]:
    """All of it as bytes; in other units from the first whole word on."""
    if isinstance(tokenizer, Bytes):
        return corpus.held_out.int()
    return _encoded(corpus.held_out_texts, tokenizer)


def other_tokens(corpus: Corpus, tokenizer: Tokenizer) -> Int[Tensor, " tokens"]:
    """Of the end of the part that is not measured on."""
    return _encoded(corpus.other_texts, tokenizer)


def _encoded(texts: Sequence[bytes], tokenizer: Tokenizer) -> Int[Tensor, " tokens"]:
    """One text after the other, with nothing between them that they do not hold."""
    none = torch.empty(0, dtype=torch.int32)
    return torch.cat([none, *(tokenizer.encode(text) for text in texts)])


def highest_token(tokenizer: Tokenizer, corpus: Corpus) -> int:
    """The highest number of a token in it."""
    tokens = held_out_tokens(corpus, tokenizer)
    return int(tokens.max()) if len(tokens) else 0
