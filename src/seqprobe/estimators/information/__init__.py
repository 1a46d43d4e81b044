"""Mutual information between states and what was read, and between pairs of vectors, in bits.

Pure functions on tensors, without a model in sight, to be used alone:

    >>> import torch
    >>> symbols = torch.randint(4, (64, 50, 1), generator=torch.Generator().manual_seed(0))
    >>> states = torch.nn.functional.one_hot(symbols[..., 0], 4).float()
    >>> found = decodable_bits(states, symbols, 4, chances=torch.full((4,), 1 / 4))
    >>> f"{found.lower[0]:.2f} of {found.entropy[0]:.0f} bits: {found.verdicts[0]}"
    '2.00 of 2 bits: full'
"""

from seqprobe.estimators.information.canonical import canonical_bits
from seqprobe.estimators.information.conditional import conditional_bits
from seqprobe.estimators.information.contrast import contrastive_bits
from seqprobe.estimators.information.critic import PairBits, pair_bits
from seqprobe.estimators.information.decoded import DecodedBits
from seqprobe.estimators.information.decoder import Effort, decodable_bits
from seqprobe.estimators.information.embedded import embedded_bits
from seqprobe.estimators.information.mixed import mixed_bits
from seqprobe.estimators.information.nearest import ksg_bits
from seqprobe.estimators.information.online_code import OnlineCode, online_code
from seqprobe.estimators.information.recall import recalled_bits
from seqprobe.estimators.information.regression import normal_bits
from seqprobe.estimators.information.vocabulary import Capped, capped

__all__ = [
    "Capped",
    "DecodedBits",
    "Effort",
    "OnlineCode",
    "PairBits",
    "canonical_bits",
    "capped",
    "conditional_bits",
    "contrastive_bits",
    "decodable_bits",
    "embedded_bits",
    "ksg_bits",
    "mixed_bits",
    "normal_bits",
    "online_code",
    "pair_bits",
    "recalled_bits",
]
