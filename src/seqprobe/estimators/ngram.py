"""How well a text is predicted by counting: the floor that a sequence model has to beat."""

import numpy as np
from jaxtyping import Float64, UInt8

SYMBOLS = 256


def ngram_bits(
    train: UInt8[np.ndarray, " train"], texts: UInt8[np.ndarray, "texts length"], order: int = 3
) -> Float64[np.ndarray, "texts predicted"]:
    """Bits for each byte of `texts` after the first one, by an n-gram model of `train`.

    A byte that stands too near the start for the full history gets the shorter one. Orders are
    interpolated down to the uniform distribution with the weights of The Zero-Frequency Problem
    (Witten and Bell, 1991): P(c|h) = (N(h,c) + T(h) P(c|h')) / (N(h) + T(h)), where T(h) is the
    number of different bytes seen after h.
    """
    probability = np.full(texts.shape, 1 / SYMBOLS)
    for length in range(1, order + 1):
        counts = np.bincount(_codes(train, length), minlength=SYMBOLS**length)
        counts = counts.reshape(-1, SYMBOLS)
        total, distinct = counts.sum(1), (counts > 0).sum(1)
        history, symbol = np.divmod(_codes(texts, length), SYMBOLS)
        lower = probability[:, length - 1 :]
        weighted = counts[history, symbol] + distinct[history] * lower
        seen = total[history] + distinct[history]
        probability[:, length - 1 :] = np.where(seen > 0, weighted / np.maximum(seen, 1), lower)
    bits: np.ndarray = -np.log2(probability[:, 1:])
    return bits


def _codes(text: UInt8[np.ndarray, "*texts length"], length: int) -> np.ndarray:
    """Each run of `length` bytes as one number, the last byte the lowest digit."""
    runs = text.shape[-1] - length + 1
    codes = np.zeros((*text.shape[:-1], runs), dtype=np.int64)
    for offset in range(length):
        codes = codes * SYMBOLS + text[..., offset : offset + runs]
    return codes
