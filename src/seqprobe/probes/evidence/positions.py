"""Numbers by position, of sequences that need not be equally long."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int

from seqprobe.contracts import Evidence
from seqprobe.estimators.log_means import geometric_mean

POINTS = 64


def evenly_long(batches: Sequence[Evidence], suffix: str) -> tuple[Evidence, ...]:
    """What ends with `suffix`, in each batch and filled up with NaN, so that they can be joined."""
    found = [name for batch in batches for name in batch if name.endswith(suffix)]
    longest = max(batch[name].shape[1] for batch in batches for name in batch if name in found)
    return tuple(
        {**batch, **{name: _filled(batch, name, longest) for name in dict.fromkeys(found)}}
        for batch in batches
    )


def _filled(batch: Evidence, name: str, longest: int) -> Float[np.ndarray, "batch _"]:
    rows = batch.get(name, np.empty((len(batch["sequence"]), 0)))
    return np.pad(rows, ((0, 0), (0, longest - rows.shape[1])), constant_values=np.nan)


def by_position(norms: Float64[np.ndarray, "sequences time"], name: str) -> dict[str, np.ndarray]:
    """Geometric means over sequences; columns of a table of at most 64 rows.

    Longer sequences are told in stretches, by the root mean square in each, which begins at
    `position`.
    """
    time = norms.shape[1]
    starts = np.unique(np.linspace(0, time, POINTS, endpoint=False).astype(int))
    squares, known = np.nan_to_num(norms) ** 2, ~np.isnan(norms)
    with np.errstate(invalid="ignore"):
        means = np.add.reduceat(squares, starts, 1) / np.add.reduceat(known, starts, 1, dtype=int)
    value, low, high = geometric_mean(np.sqrt(means))
    return {"position": starts, name: value, "low": low, "high": high}


def first_and_last_quarter(
    norms: Float64[np.ndarray, "sequences time"], times: Int[np.ndarray, " sequences"]
) -> Float64[np.ndarray, "2 sequences"]:
    """The root mean square over the quarters of the positions that each sequence has."""
    quarters = np.maximum(times // 4, 1)
    rows = [
        (row[:quarter], row[time - quarter : time])
        for row, quarter, time in zip(norms, quarters, times, strict=True)
    ]
    return (
        np.array([[np.sqrt((part**2).mean()) for part in pair] for pair in rows]).reshape(-1, 2).T
    )
