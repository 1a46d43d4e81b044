"""How many sequences fit at once."""

from weakref import WeakKeyDictionary

import psutil
import torch
from torch import Tensor

from seqprobe.models.costs import kept_for_backward
from seqprobe.models.sequence_model import SequenceModel

LARGEST_BATCH = 32
SHARE = 0.25
_known: WeakKeyDictionary[SequenceModel, dict[tuple, int]] = WeakKeyDictionary()


def batch_size(model: SequenceModel, inputs: Tensor, *, gradients: bool, processes: int = 1) -> int:
    """Sequences whose saved tensors take at most a quarter of the free memory, in all processes."""
    sizes, asked = _known.setdefault(model, {}), (inputs.shape[1:], gradients)
    if asked not in sizes:
        sizes[asked] = _saved_bytes(model, inputs[:1], gradients=gradients)
    needed = max(processes * sizes[asked], 1)
    return int(min(max(SHARE * _free_bytes(model.device) // needed, 1), LARGEST_BATCH))


def _saved_bytes(model: SequenceModel, inputs: Tensor, *, gradients: bool) -> int:
    """What autograd keeps for one sequence; each storage counts once."""
    with kept_for_backward() as kept:
        observed = model.observe(inputs, gradients=gradients, cut=model.sweepable)
    states = [observed.outputs, *observed.states.values()]
    outside = sum(state.nbytes for state in states)
    return outside + sum(storage.nbytes() for storage in kept.values())


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
