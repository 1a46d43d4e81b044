"""How well a text is predicted by counting pairs of tokens: what any sequence model should beat."""

import torch
from jaxtyping import Float64, Int
from torch import Tensor


def bigram_nats(
    train: Int[Tensor, " train"], texts: Int[Tensor, "texts length"], vocab_size: int
) -> Float64[Tensor, "texts predicted"]:
    """Nats for each token of `texts` after the first one, by the pairs in `train`.

    Pairs are interpolated with single tokens, and those with the uniform distribution, by the
    weights of The Zero-Frequency Problem (Witten and Bell, 1991): as in `ngram_bits`, for any
    number of tokens.
    """
    before, token = texts[:, :-1].long(), texts[:, 1:].long()
    single = torch.bincount(train, minlength=vocab_size).double()
    distinct = (single > 0).sum()
    chance = (single[token] + distinct / vocab_size) / (single.sum() + distinct)
    pairs, times = torch.unique(train[:-1].long() * vocab_size + train[1:], return_counts=True)
    followed = torch.bincount(train[:-1], minlength=vocab_size)[before].double()
    followers = torch.bincount(pairs // vocab_size, minlength=vocab_size)[before].double()
    seen = _looked_up(pairs, times, before * vocab_size + token)
    weighted = (seen + followers * chance) / (followed + followers).clamp(min=1)
    return -torch.where(followed > 0, weighted, chance).log()


def _looked_up(
    keys: Int[Tensor, " keys"], values: Int[Tensor, " keys"], asked: Int[Tensor, "texts predicted"]
) -> Float64[Tensor, "texts predicted"]:
    """The value of each key that is there, else zero."""
    if not len(keys):
        return torch.zeros(asked.shape, dtype=torch.float64)
    place = torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == asked, values[place], 0).double()
