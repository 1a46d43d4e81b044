"""What fits: how many sequences at once, and whether a second model."""

from weakref import WeakKeyDictionary

from torch import Tensor

from seqprobe.errors import NotApplicable
from seqprobe.models.costs import kept_for_backward
from seqprobe.models.device import free_bytes
from seqprobe.models.sequence_model import SequenceModel

LARGEST_BATCH = 32
SHARE, HALF, GIB = 0.25, 0.5, 2**30
_known: WeakKeyDictionary[SequenceModel, dict[tuple, int]] = WeakKeyDictionary()


def batch_size(model: SequenceModel, inputs: Tensor, *, gradients: bool, processes: int = 1) -> int:
    """Sequences whose saved tensors take at most a quarter of the free memory, in all processes."""
    sizes, asked = _known.setdefault(model, {}), (inputs.shape[1:], gradients)
    if asked not in sizes:
        sizes[asked] = _saved_bytes(model, inputs[:1], gradients=gradients)
    needed = max(processes * sizes[asked], 1)
    return int(min(max(SHARE * free_bytes(model.device) // needed, 1), LARGEST_BATCH))


def room_for_a_copy(model: SequenceModel, processes: int = 1) -> None:
    """Refuse a second model that would take more than half of the free memory.

    Raises:
        NotApplicable: it would.
    """
    needed = processes * sum(tensor.nbytes for tensor in model.tensors())
    free = free_bytes(model.device)
    if needed > HALF * free:
        raise NotApplicable(
            f"a second copy of the model, {needed / GIB:.1f} GiB, would take more than half of "
            f"the free memory, {free / GIB:.1f} GiB"
        )


def _saved_bytes(model: SequenceModel, inputs: Tensor, *, gradients: bool) -> int:
    """What autograd keeps for one sequence; each storage counts once."""
    with kept_for_backward() as kept:
        observed = model.observe(inputs, gradients=gradients, cut=model.sweepable)
    states = [observed.outputs, *observed.states.values()]
    outside = sum(state.nbytes for state in states)
    return outside + sum(storage.nbytes() for storage in kept.values())
