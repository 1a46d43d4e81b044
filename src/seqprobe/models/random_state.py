"""The random numbers of whoever trains, left as they were."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from seqprobe.models.copied import tensors

WITHOUT = ("cpu", "meta", "mps")
"""The CPU's generator is always put back; those of the others have no state for each device."""


@contextmanager
def random_state_kept(module: nn.Module) -> Iterator[None]:
    """The generators of the CPU and of all devices of a module are put back afterwards."""
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for device in {each.device for each in tensors(module)}:
            if device.type not in WITHOUT:
                stack.enter_context(torch.random.fork_rng([device], device_type=device.type))
        yield
