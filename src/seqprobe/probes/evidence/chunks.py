"""Reading in chunks, through the model's own state, held against one pass."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import Carrying, Estimate, Evidence, Observation, Series
from seqprobe.errors import ModelError
from seqprobe.probes.evidence.oldest import change

SEQUENCES, SINGLE, SINGLY = 4, 4, 16


def sizes(time: int) -> list[int]:
    """A half, a quarter, the rest but for a few, and these one by one.

    >>> sizes(256)
    [128, 64, 60, 1, 1, 1, 1]
    """
    half, quarter = time // 2, time // 4
    chunks = [half, quarter, time - half - quarter - SINGLE, *[1] * SINGLE]
    return [size for size in chunks if size]


def single_sizes(time: int) -> list[int]:
    """Half of them or more, and the rest one by one.

    >>> single_sizes(9)
    [4, 1, 1, 1, 1, 1]
    """
    first = max(time // 2, time - SINGLY)
    return [first, *[1] * (time - first)]


def differences(observation: Observation) -> Evidence:
    """The largest difference of each output, relative to the largest one; first few sequences."""
    carrying = observation.carrying
    assert carrying is not None
    few = sum(number < SEQUENCES for number in observation.sequences)
    if not few:
        return {}
    inputs, time = observation.inputs[:few], observation.inputs.shape[1]
    apart, refused = _apart(observation, inputs, sizes(time) if carrying.argument else [])
    singly, refused_singly = _apart(observation, inputs, single_sizes(time) * carrying.singly)
    if carrying.refusal:
        refused = f"it cannot be asked for its state: {carrying.refusal}"
    return {
        "apart_chunked": apart,
        "apart_singly": singly,
        "argument": np.full(few, carrying.argument),
        "singly": np.full(few, carrying.singly),
        "chunk_refused": np.full(few, refused_singly if carrying.singly else refused),
    }


def _apart(
    observation: Observation, inputs: Tensor, chunks: list[int]
) -> tuple[Float[np.ndarray, "few time"], str]:
    """All sequences together, or one by one where the module takes no such batch; or why not."""
    assert observation.carrying is not None
    assert observation.rerun is not None
    if not chunks:
        return np.zeros((len(inputs), 0)), ""
    try:
        read = _read(observation.carrying, inputs, chunks)
    except ModelError as error:
        return np.zeros((len(inputs), 0)), f"the next chunk cannot be read: {error.said}"
    return change(observation.rerun(inputs), read).cpu().numpy(), ""


def _read(carrying: Carrying, inputs: Tensor, chunks: list[int]) -> Tensor:
    try:
        return carrying.chunked(inputs, chunks)
    except ModelError:
        return torch.cat([carrying.chunked(each, chunks) for each in inputs.split(1)])


def estimates(evidence: Evidence) -> dict[str, Estimate]:
    """The largest of all differences; besides, of chunks where only single steps go on."""
    if not evidence["singly"][0]:
        return {"equivalence_error": _estimate(evidence, "apart_chunked")}
    found = {"equivalence_error": _estimate(evidence, "apart_singly")}
    if evidence["apart_chunked"].size:
        found["chunk_error"] = _estimate(evidence, "apart_chunked")
    return found


def _estimate(evidence: Evidence, name: str) -> Estimate:
    refused, argument = str(evidence["chunk_refused"][0]), str(evidence["argument"][0])
    if refused:
        return Estimate.missing("", refused)
    if not argument:
        because = "the module does not return a state that it takes again: every call starts empty"
        return Estimate.missing("", because)
    worst = float(evidence[name].max())
    if not np.isfinite(worst):
        return Estimate.missing("", "outputs of chunks or of one pass are not finite")
    return Estimate(worst, "", n=len(evidence[name]), exact=True)


def table(evidence: Evidence) -> Series | None:
    """The largest difference in each chunk."""
    if not np.isfinite(evidence["apart_chunked"].max(initial=-np.inf)):
        return None
    apart = evidence["apart_chunked"].max(0)
    lengths = np.array(sizes(len(apart)))
    starts = lengths.cumsum() - lengths
    columns = {
        "position": starts,
        "tokens": lengths,
        "difference": np.maximum.reduceat(apart, starts),
    }
    return Series.of("carry-over-chunks", columns)
