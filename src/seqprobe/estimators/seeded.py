"""Random numbers for code of torch that takes no generator: the same ones on every device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this context the generator of the CPU begins at the seed; it is put back afterwards.

    `torch.manual_seed` would seed those of all other devices as well, for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
