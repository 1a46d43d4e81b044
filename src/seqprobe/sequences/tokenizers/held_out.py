"""The held-out text of a corpus in tokens."""

from jaxtyping import Int
from torch import Tensor

from seqprobe.sequences.corpus import Corpus
from seqprobe.sequences.tokenizers.raw_bytes import Bytes
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer


def held_out_tokens(corpus: Corpus, tokenizer: Tokenizer) -> Int[Tensor, " tokens"]:
    """All of it as bytes; in other units from the first whole word on."""
    if isinstance(tokenizer, Bytes):
        return corpus.held_out.int()
    return tokenizer.encode(corpus.held_out_text)


def highest_token(tokenizer: Tokenizer, corpus: Corpus) -> int:
    """The highest number of a token in it."""
    tokens = held_out_tokens(corpus, tokenizer)
    return int(tokens.max()) if len(tokens) else 0
