"""Random numbers that belong to one seed and one number within it."""

import torch

APART = 1_000_003
"""How many numbers a seed has to itself."""


def generator(seed: int, number: int) -> torch.Generator:
    """A generator of its own for every pair.

    Torch's CPU generator looks at the lowest 32 bits of its seed alone, so that a seed in the
    upper half would change nothing.
    """
    return torch.Generator().manual_seed((seed * APART + number) % 2**32)
