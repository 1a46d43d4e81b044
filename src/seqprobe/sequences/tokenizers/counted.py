"""Tokenizers whose vocabulary is counted over the text, and which of them has the right size."""

from collections.abc import Sequence

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.corpus import Corpus
from seqprobe.sequences.tokenizers.characters import Characters
from seqprobe.sequences.tokenizers.held_out import highest_token
from seqprobe.sequences.tokenizers.integers import Integers, is_list
from seqprobe.sequences.tokenizers.raw_bytes import Bytes
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer, decoded
from seqprobe.sequences.tokenizers.words import Words

LARGEST_FOR_BYTES = 512
GPT_2 = range(50_257, 50_305)


def decoded_texts(corpus: Corpus) -> list[str]:
    """What a vocabulary is counted over."""
    return [decoded(text, corpus.source) for text in corpus.texts()]


def both_orders(texts: Sequence[str]) -> list[Tokenizer]:
    """Sorted, and by first appearance."""
    return [Characters.sorted(texts), Characters.by_first_appearance(texts)]


def by_size(corpus: Corpus, vocab_size: int) -> list[Tokenizer]:
    """Those with exactly so many tokens; else bytes, if the vocabulary is small and holds them.

    Raises:
        UsageError: none fits; it says what was tried.
    """
    fitting = [*_listed(corpus, vocab_size), *_counted(corpus, vocab_size)]
    if fitting:
        return fitting
    if vocab_size <= LARGEST_FOR_BYTES and highest_token(Bytes(), corpus) < vocab_size:
        return [Bytes()]
    padded = " (GPT-2's byte pairs, padded?)" if vocab_size in GPT_2 else ""
    raise UsageError(
        "the data is in another vocabulary than the model's",
        where=corpus.source,
        got=_sizes(corpus),
        expected=f"{vocab_size:,} tokens{padded}",
        do="Give --tokenizer tokenizer.json or a vocabulary file, --data train.bin --tokenizer "
        "ints, or `--data synthetic:iid`.",
    )


def _listed(corpus: Corpus, vocab_size: int) -> list[Tokenizer]:
    """Integers, where the text is nothing else and none is too large."""
    integers = Integers(vocab_size)
    fits = all(map(is_list, corpus.held_out_texts)) and highest_token(integers, corpus) < vocab_size
    return [integers] if fits else []


def _counted(corpus: Corpus, vocab_size: int) -> list[Tokenizer]:
    """Of bytes, characters in both orders, and words: those that are exactly so many."""
    found: list[Tokenizer] = [Bytes()]
    if (texts := _if_text(corpus)) is not None:
        characters = Characters.sorted(texts)
        orders = both_orders(texts) if characters.size == vocab_size else []
        found += [*orders, Words.by_first_appearance(texts, most=vocab_size)]
    return [tokenizer for tokenizer in found if tokenizer.size == vocab_size]


def _if_text(corpus: Corpus) -> list[str] | None:
    try:
        return decoded_texts(corpus)
    except FileError:
        return None


def _sizes(corpus: Corpus) -> str:
    texts = _if_text(corpus)
    if texts is None:
        return f"bytes {Bytes().size} (no UTF-8 text)"
    counted = (Bytes(), Characters.sorted(texts), Words.by_first_appearance(texts))
    return ", ".join(f"{tokenizer.unit} {tokenizer.size:,}" for tokenizer in counted)
