"""Which module it is that trains, under whatever is wrapped around it."""

from torch import distributed, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor

from seqprobe.errors import UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.unnoticed import unnoticed


def trained(model: nn.Module | SequenceModel) -> SequenceModel:
    """The model inside `DistributedDataParallel`; others wrap in ways that cannot be watched.

    Raises:
        UsageError: the model is compiled already, or split over processes.
        ModelError: it cannot be run.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return trained(model.module)
    module = model.module if isinstance(model, SequenceModel) else model
    _refuse_compiled(module)
    _refuse_split(module)
    if isinstance(model, SequenceModel):
        return model
    with unnoticed(model):
        return SequenceModel(model)


def watches() -> bool:
    """Whether this process is the one that watches: the first, where there are several."""
    return not (distributed.is_available() and distributed.is_initialized()) or (
        distributed.get_rank() == 0
    )


def _refuse_compiled(model: nn.Module) -> None:
    if hasattr(model, "_orig_mod") or model._compiled_call_impl is not None:
        raise UsageError(
            "the model is compiled, and what is inside can no longer be watched",
            where="attach",
            got=type(model).__name__,
            expected="the module as it was before",
            do="Call seqprobe.attach(model, ...) first and torch.compile(model) after it.",
        )


def _refuse_split(model: nn.Module) -> None:
    split = isinstance(model, FullyShardedDataParallel | nn.DataParallel)
    if split or any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        raise UsageError(
            "the model is split over devices, and cannot be run from one process alone",
            where="attach",
            got=type(model).__name__ if split else "parameters that are DTensors",
            expected="a plain module, or one in DistributedDataParallel",
            do="Save checkpoints, and measure them with `seqprobe compare FOLDER`.",
        )
