"""Reading in chunks, through the model's own state, held against one pass."""

import numpy as np

from seqprobe.contracts import Estimate, Evidence, Observation, Series
from seqprobe.errors import ModelError
from seqprobe.probes.evidence.oldest import change

SEQUENCES, SINGLE = 4, 4


def sizes(time: int) -> list[int]:
    """A half, a quarter, the rest but for a few, and these one by one.

    >>> sizes(256)
    [128, 64, 60, 1, 1, 1, 1]
    """
    half, quarter = time // 2, time // 4
    chunks = [half, quarter, time - half - quarter - SINGLE, *[1] * SINGLE]
    return [size for size in chunks if size]


def differences(observation: Observation) -> Evidence:
    """The largest difference of each output, relative to the largest one; first few sequences."""
    assert observation.carrying is not None
    assert observation.rerun is not None
    few = sum(number < SEQUENCES for number in observation.sequences)
    if not few:
        return {}
    inputs, argument, refused = observation.inputs[:few], observation.carrying.argument, ""
    found = np.zeros((few, 0))
    if argument:
        try:
            chunked = observation.carrying.chunked(inputs, sizes(inputs.shape[1]))
            found = change(observation.rerun(inputs), chunked).cpu().numpy()
        except ModelError as error:
            refused = f"the next chunk cannot be read: {error.said}"
    known = {"argument": np.full(few, argument), "chunk_refused": np.full(few, refused)}
    return {"apart_chunked": found, **known}


def estimate(evidence: Evidence) -> Estimate:
    """The largest of all differences."""
    refused, argument = str(evidence["chunk_refused"][0]), str(evidence["argument"][0])
    if not argument:
        because = "the module does not return a state that it takes again: every call starts empty"
        return Estimate.missing("", because)
    if refused:
        return Estimate.missing("", refused)
    worst = float(evidence["apart_chunked"].max())
    if not np.isfinite(worst):
        return Estimate.missing("", "outputs of chunks or of one pass are not finite")
    return Estimate(worst, "", n=len(evidence["apart_chunked"]), exact=True)


def table(evidence: Evidence) -> Series:
    """The largest difference in each chunk."""
    apart = evidence["apart_chunked"].max(0)
    lengths = np.array(sizes(len(apart)))
    starts = lengths.cumsum() - lengths
    columns = {
        "position": starts,
        "tokens": lengths,
        "difference": np.maximum.reduceat(apart, starts),
    }
    return Series.of("carry-over-chunks", columns)
