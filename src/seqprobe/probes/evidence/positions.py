"""Norms by position at several sites, of sequences that need not be equally long."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.contracts import Evidence, Series
from seqprobe.estimators.log_means import geometric_mean

NORMS = "/norms"
AT_THE_INPUT = ("embedding", "inputs")
POINTS = 64


def observed(norms: Mapping[str, Float[Tensor, "batch _"]], time: int) -> Evidence:
    """Rows of the norms at every site, whether all of them are finite, and how many steps."""
    rows = {f"{site}{NORMS}": each.double().numpy() for site, each in norms.items()}
    finite = np.all([np.isfinite(each).all(1) for each in rows.values()], axis=0)
    return {**rows, "finite": finite, "time": np.full(len(finite), time)}


def of_finite(evidence: Evidence) -> dict[str, Float64[np.ndarray, "sequences time"]]:
    """By site, the norms in those sequences where all of them are finite."""
    return {
        name.removesuffix(NORMS): norms[evidence["finite"]]
        for name, norms in evidence.items()
        if name.endswith(NORMS)
    }


def evenly_long(batches: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """The norms in each batch filled up with NaN, so that they can be joined."""
    found = [name for batch in batches for name in batch if name.endswith(NORMS)]
    longest = max(batch[name].shape[1] for batch in batches for name in batch if name in found)
    return tuple(
        {**batch, **{name: _filled(batch, name, longest) for name in dict.fromkeys(found)}}
        for batch in batches
    )


def _filled(batch: Evidence, name: str, longest: int) -> Float[np.ndarray, "batch _"]:
    rows = batch.get(name, np.empty((len(batch["sequence"]), 0)))
    return np.pad(rows, ((0, 0), (0, longest - rows.shape[1])), constant_values=np.nan)


def table(id: str, sites: Mapping[str, Float64[np.ndarray, "_ _"]]) -> Series:
    """By position and site, geometric means over sequences; at most 64 rows for each site.

    Longer sequences are told in stretches, by the root mean square in each, which begins at
    `position`.
    """
    return Series.stacked(id, [_columns(*each) for each in sites.items()])


def _columns(site: str, norms: Float64[np.ndarray, "sequences time"]) -> dict[str, object]:
    time = norms.shape[1]
    starts = np.unique(np.linspace(0, time, POINTS, endpoint=False).astype(int))
    squares, known = np.nan_to_num(norms) ** 2, ~np.isnan(norms)
    with np.errstate(invalid="ignore"):
        means = np.add.reduceat(squares, starts, 1) / np.add.reduceat(known, starts, 1, dtype=int)
    value, low, high = geometric_mean(np.sqrt(means))
    typical = {"norm": value, "low": low, "high": high}
    return {"position": starts, "site": site, **typical, "n": len(norms)}


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
