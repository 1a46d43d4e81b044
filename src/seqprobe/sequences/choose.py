"""Which stream the user's words mean."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from seqprobe.errors import UsageError
from seqprobe.sequences.asked import AskedStream, task_in
from seqprobe.sequences.corpus import Corpus, read_corpus
from seqprobe.sequences.labelled import LabelledSeries, LabelledText, read_labelled
from seqprobe.sequences.labelled_rows import DELIMITERS
from seqprobe.sequences.lagged import LaggedStream, lag_named
from seqprobe.sequences.series import SeriesStream
from seqprobe.sequences.series_files import read_series
from seqprobe.sequences.streams import (
    CopyStream,
    CorpusStream,
    IidStream,
    NoiseStream,
    SampledStream,
    Stream,
)
from seqprobe.sequences.tokenizers.candidates import candidates

SYMBOLS = 8
SMALL_VOCABULARY = 16
SYNTHETIC = ("synthetic:iid", "synthetic:copy", "synthetic:recall-16-1024")
SERIES = (".npy", ".npz", *DELIMITERS)


def stream_for(
    data: str | None,
    predict: Callable[[Tensor], Tensor],
    *,
    vocab_size: int,
    sequences: int,
    length: int,
    seed: int,
    tokenizer: str | None = None,
) -> Stream:
    """A named stream of tokens; without a name, text that the model itself writes.

    `tokenizer`: what to look for, as for `candidates`, of which the first is taken.
    """
    if data is None:
        return SampledStream(predict, vocab_size, seed, sequences, length)
    symbols = IidStream(_spread(vocab_size), vocab_size, seed)
    if data == "synthetic:iid":
        return symbols
    if data == "synthetic:copy":
        return CopyStream(symbols)
    if task := task_in(data, vocab_size):
        return AskedStream(task, seed)
    if data.startswith("synthetic:"):
        raise UsageError(
            f"no stream {data!r}",
            expected=f"one of {', '.join(SYNTHETIC)}",
            do="See `seqprobe data list`.",
        )
    corpus = corpus_named(data)
    fitting = candidates(tokenizer, corpus, vocab_size=vocab_size)
    return CorpusStream(corpus, vocab_size, seed, fitting[0])


def corpus_named(data: str) -> Corpus:
    """The text in a file or folder; of labelled texts, without their labels."""
    labelled = read_labelled(Path(data))
    if isinstance(labelled, LabelledSeries):
        raise UsageError(
            "the model reads tokens, not real-valued features",
            got=f"data {data!r}",
            expected="text, or lists of integers",
            do="Give data in the model's own tokens, or `--data synthetic:iid`.",
        )
    return labelled.corpus if isinstance(labelled, LabelledText) else read_corpus(data)


def noise_for(
    data: str | None, features: int, dtype: torch.dtype, seed: int
) -> NoiseStream | LaggedStream | SeriesStream:
    """For models that read real-valued features: noise, a known lag, or the user's own series."""
    if data is None:
        return NoiseStream(features, dtype, seed)
    if lag := lag_named(data):
        return LaggedStream(lag, features, dtype, seed)
    path = Path(data)
    if path.suffix not in SERIES or isinstance(labelled := read_labelled(path), LabelledText):
        raise UsageError(
            "the model reads real-valued features, not tokens",
            got=f"data {data!r}",
            expected=f"series of numbers ({', '.join(SERIES)}), synthetic:lag-48 or any other lag, "
            "or no data: noise is fed",
            do="Leave the data out, or give such a file.",
        )
    series = labelled.series if labelled else read_series(path)
    if series.values.shape[2] != features:
        raise UsageError(
            "the data has another number of features than the model",
            where=series.source,
            got=f"{series.values.shape[2]} features",
            expected=f"{features}",
            do="Give the columns that the model was trained on, in their order.",
        )
    return SeriesStream(series, dtype, seed)


def independent(
    alphabet: Int[Tensor, " symbols"] | None,
    *,
    vocab_size: int | None,
    features: int | None,
    dtype: torch.dtype,
    seed: int,
) -> IidStream | NoiseStream:
    """Symbols from an alphabet, each drawn by itself; noise, for real-valued inputs."""
    if features:
        return NoiseStream(features, dtype, seed)
    assert alphabet is not None
    assert vocab_size is not None
    return IidStream(alphabet, vocab_size, seed)


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
