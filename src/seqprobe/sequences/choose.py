"""Which stream the user's words mean."""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.errors import UsageError
from seqprobe.sequences.corpus import read_corpus
from seqprobe.sequences.streams import (
    CopyStream,
    CorpusStream,
    IidStream,
    NoiseStream,
    SampledStream,
    Stream,
)

SYMBOLS = 8
SMALL_VOCABULARY = 16
SYNTHETIC = ("synthetic:iid", "synthetic:copy")
TOKEN_BYTES = 256


def stream_for(
    data: str | None,
    predict: Callable[[Tensor], Tensor],
    *,
    vocab_size: int,
    sequences: int,
    length: int,
    seed: int,
) -> Stream:
    """A named stream of tokens; without a name, text that the model itself writes."""
    if data is None:
        return SampledStream(predict, vocab_size, seed, sequences, length)
    symbols = IidStream(_spread(vocab_size), vocab_size, seed)
    if data == "synthetic:iid":
        return symbols
    if data == "synthetic:copy":
        return CopyStream(symbols)
    if data.startswith("synthetic:"):
        raise UsageError(
            f"no stream {data!r}",
            expected=f"one of {', '.join(SYNTHETIC)}",
            do="See `seqprobe data list`.",
        )
    return CorpusStream(read_corpus(data), vocab_size, seed)


def noise_for(data: str | None, features: int, dtype: torch.dtype, seed: int) -> NoiseStream:
    """The only stream for models that read real-valued features."""
    if data is not None:
        raise UsageError(
            "the model reads real-valued features, not tokens",
            got=f"data {data!r}",
            expected="no data: noise is fed",
            do="Leave the data out.",
        )
    return NoiseStream(features, dtype, seed)


def alphabet_of(stream: Stream) -> Int[Tensor, " symbols"] | None:
    """The tokens to draw independent symbols from: all of a small vocabulary, else the most
    frequent ones of the data, so that the model knows them.
    """
    frequencies = stream.frequencies
    if frequencies is None:
        return None
    if len(frequencies) <= SMALL_VOCABULARY:
        return torch.arange(len(frequencies))
    return frequencies.topk(SYMBOLS).indices.sort().values


def _spread(vocab_size: int) -> Int[Tensor, " symbols"]:
    """All of a small vocabulary, or a few tokens from all over it."""
    if vocab_size <= SMALL_VOCABULARY:
        return torch.arange(vocab_size)
    return torch.linspace(0, vocab_size - 1, SYMBOLS).long()
