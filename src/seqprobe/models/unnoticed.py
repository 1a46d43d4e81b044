"""Run a module that is being trained so that its training goes on as if nothing had happened."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn

from seqprobe.models.copied import tensors
from seqprobe.models.random_state import random_state_kept


@contextmanager
def unnoticed(module: nn.Module) -> Iterator[None]:
    """Within this context the module may be run in any way, without autocast and uncompiled.

    Random generators (torch, numpy, Python), buffers, and whatever modules keep about themselves,
    such as the state of a recurrence, are put back afterwards.
    """
    kept = [(part, dict(part.__dict__), dict(part._buffers)) for part in module.modules()]
    values = {name: buffer.clone() for name, buffer in module.named_buffers()}
    kinds = {"cpu", *(each.device.type for each in tensors(module))} - {"meta"}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with (
            random_state_kept(module),
            torch.compiler.set_stance("force_eager"),
            ExitStack() as stack,
        ):
            for kind in kinds:
                stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        _put_back(kept)
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                if not torch.equal(buffer, values[name]):
                    buffer.copy_(values[name])
        np.random.set_state(numpy)
        random.setstate(python)


def _put_back(kept: list[tuple[nn.Module, dict, dict]]) -> None:
    """Attributes by identity: what a run replaced is the old object again."""
    for part, attributes, buffers in kept:
        part.__dict__.clear()
        part.__dict__.update(attributes)
        part._buffers.clear()
        part._buffers.update(buffers)
