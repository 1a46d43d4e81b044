"""What fits: how many sequences at once, and whether a second model."""

from weakref import WeakKeyDictionary

from torch import Tensor

from seqprobe.errors import NotApplicable
from seqprobe.models.costs import Costs, kept_for_backward
from seqprobe.models.device import free_bytes
from seqprobe.models.sequence_model import SequenceModel

LARGEST_BATCH = 32
SHARE, HALF, GIB = 0.25, 0.5, 2**30
_known: WeakKeyDictionary[SequenceModel, dict[tuple, int]] = WeakKeyDictionary()


def batch_size(model: SequenceModel, inputs: Tensor, *, gradients: bool, processes: int = 1) -> int:
    """Sequences whose saved tensors take at most a quarter of the free memory, in all processes."""
    needed = max(processes * bytes_for_each(model, inputs, gradients=gradients), 1)
    return int(min(max(SHARE * free_bytes(model.device) // needed, 1), LARGEST_BATCH))


def room_for_a_copy(model: SequenceModel, processes: int = 1) -> None:
    """Refuse a second model that would take more than half of the free memory.

    Raises:
        NotApplicable: it would.
    """
    if not fits_twice(model, processes):
        raise NotApplicable(
            f"a second copy of the model would take more than half of the free memory, "
            f"{free_bytes(model.device) / GIB:.1f} GiB"
        )


def fits_twice(model: SequenceModel, processes: int = 1) -> bool:
    """Whether a second model would leave half of the free memory."""
    needed = processes * Costs(model).parameters()
    return needed <= HALF * free_bytes(model.device)


def bytes_for_each(model: SequenceModel, inputs: Tensor, *, gradients: bool) -> int:
    """What one of these sequences takes; found out once for each length."""
    sizes, asked = _known.setdefault(model, {}), (inputs.shape[1:], gradients)
    if asked not in sizes:
        sizes[asked] = _saved_bytes(model, inputs[:1], gradients=gradients)
    return sizes[asked]


def _saved_bytes(model: SequenceModel, inputs: Tensor, *, gradients: bool) -> int:
    """What autograd keeps for one sequence; each storage counts once."""
    with kept_for_backward() as kept:
        observed = model.observe(inputs, gradients=gradients, cut=model.sweepable)
    states = [observed.outputs, *observed.states.values()]
    outside = sum(state.nbytes for state in states)
    return outside + sum(storage.nbytes() for storage in kept.values())
