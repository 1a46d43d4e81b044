"""Which tokenizers a model may have been trained with."""

from collections.abc import Callable, Sequence
from pathlib import Path

from seqprobe.errors import UsageError
from seqprobe.sequences.corpus import Corpus, bytes_of
from seqprobe.sequences.tokenizers.characters import Characters
from seqprobe.sequences.tokenizers.counted import both_orders, by_size, decoded_texts
from seqprobe.sequences.tokenizers.held_out import highest_token
from seqprobe.sequences.tokenizers.hugging_face import (
    FILE,
    HuggingFace,
    hugging_face,
    is_hugging_face,
)
from seqprobe.sequences.tokenizers.integers import Integers
from seqprobe.sequences.tokenizers.raw_bytes import Bytes
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer
from seqprobe.sequences.tokenizers.vocabulary import entries_of, tokenizer_of
from seqprobe.sequences.tokenizers.words import Words

Vocabulary = Sequence[str | bytes]
NAMES = ("bytes", "char", "word", "ints", "hf")
CHECKPOINTS_OWN = "vocabulary of the checkpoint"


def candidates(
    asked: str | None,
    corpus: Corpus,
    *,
    vocab_size: int,
    vocabulary: Vocabulary | None = None,
    folder: Path | None = None,
) -> list[Tokenizer]:
    """The tokenizers that fit, the best first; the likelihood of the text decides among several.

    Args:
        asked: one of `NAMES`, a vocabulary file, a tokenizer.json, or a folder that holds one.
            Characters may come in two orders; each other word names one tokenizer. None: the
            vocabulary of the checkpoint; the tokenizer.json beside it; lists of integers; those
            with exactly as many tokens as the model; bytes, for a small vocabulary.
        corpus: the text.
        vocab_size: tokens that the model knows.
        vocabulary: what each of them stands for, where the checkpoint says so.
        folder: where the checkpoint lies.

    Raises:
        UsageError: none fits, or what was asked for has more tokens than the model.
        FileError: a vocabulary or the text cannot be read.
    """
    if asked is not None:
        return _fitting(_asked(asked, corpus, vocab_size, vocabulary, folder), corpus, vocab_size)
    if corpus.integers:
        return [Integers(vocab_size)]
    if vocabulary:
        return [tokenizer_of(vocabulary, CHECKPOINTS_OWN)]
    beside = _beside(folder)
    if beside and beside.size <= vocab_size:
        return [beside]
    return by_size(corpus, vocab_size)


def _asked(
    asked: str,
    corpus: Corpus,
    vocab_size: int,
    vocabulary: Vocabulary | None,
    folder: Path | None,
) -> Sequence[Tokenizer]:
    named: dict[str, Callable[[], Sequence[Tokenizer]]] = {
        "bytes": lambda: [Bytes()],
        "char": lambda: _stated(vocabulary, Characters) or both_orders(decoded_texts(corpus)),
        "word": lambda: (
            _stated(vocabulary, Words) or [Words.by_first_appearance(decoded_texts(corpus))]
        ),
        "ints": lambda: [Integers(vocab_size)],
        "hf": lambda: [_beside(folder) or _none_beside(folder)],
    }
    return named[asked]() if asked in named else [_in_file(Path(asked))]


def _stated(vocabulary: Vocabulary | None, kind: type[Characters] | type[Words]) -> list[Tokenizer]:
    """By the checkpoint, if it is of this kind."""
    stated = [tokenizer_of(vocabulary, CHECKPOINTS_OWN)] if vocabulary else []
    return [tokenizer for tokenizer in stated if isinstance(tokenizer, kind)]


def _beside(folder: Path | None) -> HuggingFace | None:
    file = folder and folder / FILE
    return hugging_face(file) if file and file.is_file() else None


def _none_beside(folder: Path | None) -> Tokenizer:
    raise UsageError(
        f"no {FILE} beside the checkpoint",
        where=folder.name if folder else "",
        do=f"Say where it is: --tokenizer PATH/{FILE}.",
    )


def _in_file(path: Path) -> Tokenizer:
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"no tokenizer {str(path)!r}",
            expected=f"one of {', '.join(NAMES)}, a vocabulary file, or a folder with {FILE}",
            do="Check the path.",
        )
    text = bytes_of(file)
    if is_hugging_face(text):
        return hugging_face(file)
    return tokenizer_of(entries_of(file, text), f"vocabulary {file.name}")


def _fitting(tokenizers: Sequence[Tokenizer], corpus: Corpus, vocab_size: int) -> list[Tokenizer]:
    """Those with no more tokens than the model, at least in the text that is measured on."""
    large = {
        tokenizer.name: highest_token(tokenizer, corpus)
        for tokenizer in tokenizers
        if tokenizer.size > vocab_size
    }
    fitting = [each for each in tokenizers if large.get(each.name, 0) < vocab_size]
    if not fitting:
        name, highest = next(iter(large.items()))
        raise UsageError(
            "the tokenizer knows more tokens than the model",
            where=corpus.source,
            got=f"{name}, of which the text uses token {highest:,}",
            expected=f"tokens below {vocab_size:,}",
            do="Give the tokenizer, or the text, that the model was trained with.",
        )
    return fitting
