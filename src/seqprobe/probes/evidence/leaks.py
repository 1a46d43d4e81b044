"""What passes from call to call, or from row to row of a batch, without being handed over."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from seqprobe.contracts import Evidence, Observation
from seqprobe.probes.evidence.oldest import change

SEQUENCES = 8
Run = Callable[[Tensor], Tensor]


def leaks(observation: Observation) -> Evidence:
    """The largest change of any output, relative to the largest one; the first few sequences.

    `call_leak`: the batch is read again after others. `row_leak`: other rows of the batch are
    replaced, or all come in the opposite order; a row without others gets itself backwards.
    """
    assert observation.rerun is not None
    few = sum(number < SEQUENCES for number in observation.sequences)
    if not few:
        return {}
    inputs, run = observation.inputs[:few], observation.rerun
    if few == 1:
        inputs = torch.cat([inputs, inputs.flip(1)])
    plain = run(inputs)
    rows = _between_rows(run, inputs, plain)[:few]
    return {"call_leak": _largest(plain, run(inputs))[:few], "row_leak": rows}


def _between_rows(run: Run, inputs: Tensor, plain: Tensor) -> Float64[np.ndarray, " rows"]:
    found = _largest(plain, run(inputs.flip(0)).flip(0))
    for kept in (slice(0, None, 2), slice(1, None, 2)):
        others = inputs.flip(1)
        others[kept] = inputs[kept]
        found[kept] = np.maximum(found[kept], _largest(plain, run(others))[kept])
    return found


def _largest(plain: Tensor, other: Tensor) -> Float64[np.ndarray, " rows"]:
    found: np.ndarray = change(plain, other).amax(1).cpu().numpy()
    return found
