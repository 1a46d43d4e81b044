"""The n-gram floor against a case by hand and a slow naive twin."""

import math
from collections import Counter

import numpy as np
import pytest

from seqprobe.estimators.ngram import ngram_bits


def as_bytes(*texts: bytes) -> np.ndarray:
    return np.stack([np.frombuffer(text, dtype=np.uint8) for text in texts])


def naive(train: bytes, text: bytes, order: int) -> list[float]:
    """Witten and Bell, one symbol and one history at a time, recursively."""

    def probability(history: bytes, symbol: int) -> float:
        lower = probability(history[1:], symbol) if history else 1 / 256
        after: Counter[int] = Counter(
            train[i + len(history)]
            for i in range(len(train) - len(history))
            if train[i : i + len(history)] == history
        )
        if not after:
            return lower
        return (after[symbol] + len(after) * lower) / (after.total() + len(after))

    return [
        -math.log2(probability(text[max(0, i - order + 1) : i], text[i]))
        for i in range(1, len(text))
    ]


def test_by_hand() -> None:
    """Train on `aab`: a and b follow a once each; a occurs twice, b once, of two kinds."""
    unigram_a, unigram_b = (2 + 2 / 256) / 5, (1 + 2 / 256) / 5
    a_after_a, b_after_a = (1 + 2 * unigram_a) / 4, (1 + 2 * unigram_b) / 4
    bits = ngram_bits(as_bytes(b"aab")[0], as_bytes(b"aab", b"aba"), order=2)
    by_hand = [[a_after_a, b_after_a], [b_after_a, unigram_a]]
    assert bits == pytest.approx(-np.log2(by_hand), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_equals_a_naive_twin(order: int) -> None:
    random = np.random.default_rng(order)
    train = random.choice(np.frombuffer(b"abcd\xff", np.uint8), 300, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    texts = random.choice(np.frombuffer(b"abcd\xffz", np.uint8), (4, 20))
    ours = ngram_bits(train, texts, order=order)
    theirs = [naive(train.tobytes(), text.tobytes(), order) for text in texts]
    assert ours.shape == (4, 19)
    assert ours == pytest.approx(np.array(theirs), rel=1e-12)


def test_probabilities_sum_to_one() -> None:
    train = np.random.default_rng(0).integers(97, 101, 200).astype(np.uint8)
    every = np.stack([np.array([97, 98, symbol], dtype=np.uint8) for symbol in range(256)])
    assert 2.0 ** -ngram_bits(train, every)[:, 1].sum() < 1
    assert (2.0 ** -ngram_bits(train, every)[:, 1]).sum() == pytest.approx(1, abs=1e-12)


def test_a_sure_text_costs_nothing_and_an_unknown_one_the_uniform_price() -> None:
    train = as_bytes(b"ab" * 5000)[0]
    assert ngram_bits(train, as_bytes(b"abababab")).max() < 1e-3
    unseen = ngram_bits(train, as_bytes(b"xyz"))
    assert (unseen > 8).all()
