"""Run a module that is being trained so that its training goes on as if nothing had happened."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def unnoticed(module: nn.Module) -> Iterator[None]:
    """Within this context the module may be run in any way, without autocast and uncompiled.

    Random generators (torch, numpy, Python), buffers, and whatever modules keep about themselves,
    such as the state of a recurrence, are put back afterwards.
    """
    kept = [(part, dict(part.__dict__), dict(part._buffers)) for part in module.modules()]
    values = {name: buffer.clone() for name, buffer in module.named_buffers()}
    device = next((each.device for each in module.parameters()), torch.device("cpu"))
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.autocast(device.type, enabled=False),
            torch.compiler.set_stance("force_eager"),
        ):
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
