"""What a run will take, before it starts: time by counted passes, memory by one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from seqprobe.errors import SeqProbeError
from seqprobe.estimators.byte_counts import written
from seqprobe.models.clock import timed
from seqprobe.models.costs import Costs
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.evidence.recorded import MOST
from seqprobe.runner.memory import batch_size, bytes_for_each, fits_twice
from seqprobe.runner.plan import Pass

SWEPT = 0.1
"""What remains of the work where recurrences are swept, and read on from their states."""
UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


@dataclass(frozen=True)
class Forecast:
    """Seconds, and bytes: of the parameters, and of what is in memory beside them."""

    seconds: float
    parameters: int
    beside: int

    def __str__(self) -> str:
        unit, size = next((u for u in UNITS if self.seconds >= 2 * u[1]), UNITS[-1])
        whole = written(self.parameters + self.beside)
        return (
            f"This will take about {math.ceil(self.seconds / size)} {unit} and up to {whole}, "
            f"{written(self.parameters)} of it for the model."
        )


def forecast(model: SequenceModel, passes: Sequence[Pass], processes: int = 1) -> Forecast:
    """Of a plan; a plain forward and backward of one sequence is timed for each length in it."""
    once = {each.needs.length: _seconds(model, each.needs.length) for each in passes}
    work = sum(_work(model, each) * once[each.needs.length] for each in passes)
    parameters = Costs(model).parameters()
    copied = parameters if _copied(model, passes) else 0
    kept = 4 * MOST if any(each.needs.states for each in passes) else 0
    batch = max((_of_a_batch(model, each, processes) for each in passes), default=0)
    return Forecast(work / processes, parameters, batch + copied + kept)


def _work(model: SequenceModel, each: Pass) -> float:
    """Plain forwards and backwards of one sequence."""
    share = SWEPT if model.sweepable and not each.needs.costs else 1.0
    return share * each.needs.sequences * sum(probe.work for probe in each.probes)


def _copied(model: SequenceModel, passes: Sequence[Pass]) -> bool:
    return any(each.baseline == "untrained" for each in passes) and fits_twice(model)


def _of_a_batch(model: SequenceModel, each: Pass, processes: int) -> int:
    """Of the batches that will be read together."""
    gradients, inputs = each.needs.gradients, model.example(1, each.needs.length)
    size = batch_size(model, inputs, gradients=gradients, processes=processes)
    together = min(size, each.needs.sequences)
    return processes * together * bytes_for_each(model, inputs, gradients=gradients)


def _seconds(model: SequenceModel, length: int) -> float:
    """The least of three; the first one warms up."""
    inputs = model.example(1, length)
    work = partial(_forward_and_backward, model, inputs)
    return min(timed(work, model.device) for _ in range(3))


def _forward_and_backward(model: SequenceModel, inputs: torch.Tensor) -> None:
    """For the inputs alone; forward only where nothing can be differentiated."""
    try:
        observed = model.observe(inputs, unrolled=False)
        torch.autograd.grad(observed.outputs.float().sum(), observed.leaf, allow_unused=True)
    except (SeqProbeError, RuntimeError):
        model(inputs)
