"""Distance on the image, where positions are its patches in raster order."""

import numpy as np
from jaxtyping import Float

from seqprobe.contracts import Estimate, Evidence, Null, Series
from seqprobe.estimators.bootstrap import curve_interval, resampled_means
from seqprobe.estimators.grid import Grid, over_grid
from seqprobe.probes.evidence.over_sequences import estimated


def relative_to_mean(
    log_squares: Float[np.ndarray, "batch targets patches"],
) -> Float[np.ndarray, "batch targets patches"]:
    """Norms relative to their mean over what each target may see; NaN is not seen."""
    largest = np.nanmax(log_squares, axis=2, keepdims=True)
    norms = np.exp(0.5 * (log_squares - np.where(np.isfinite(largest), largest, 0.0)))
    mean = np.nanmean(norms, axis=2, keepdims=True)
    found: np.ndarray = np.divide(norms, mean, out=norms, where=mean > 0)
    return found


def grid_rows(
    amounts: Float[np.ndarray, "batch chosen patches"], steps: np.ndarray, grid: Grid
) -> Evidence:
    """By distance on the grid from the patches at `steps`: sums, and pairs; NaN is not seen."""
    found = over_grid(amounts, steps, grid)
    return {
        "grid/sums": found.sums,
        "grid/even": found.even,
        "grid/pairs": found.pairs,
        "grid/distances": np.tile(found.distances, (len(found.sums), 1)),
    }


def grid_metrics(evidence: Evidence, null: str, seed: int) -> dict[str, Estimate]:
    """The mean distance, in patches; `null` names what is the same everywhere.

    Its value is exact: that of the same pairs of patches, if each had to do with all others alike.
    """
    if "grid/sums" not in evidence:
        return {}
    distances = evidence["grid/distances"][0]

    def mean(curves: np.ndarray) -> np.ndarray:
        total = curves.sum(1)
        nothing = np.full(len(curves), np.inf)
        found: np.ndarray = np.divide(curves @ distances, total, out=nothing, where=total > 0)
        return found

    (even,) = mean(evidence["grid/even"].sum(0, keepdims=True)).tolist()
    everywhere = Null(null, even if np.isfinite(even) else None)
    metric = estimated(
        evidence["grid/sums"], mean, "patches", everywhere, seed=seed,
        beyond="nothing at any distance has influence",
    )  # fmt: skip
    return {"grid_mean_distance": metric}


def grid_tables(id: str, evidence: Evidence, column: str, seed: int) -> list[Series]:
    """The mean over pairs by distance, rounded to whole patches; `column` names it."""
    if "grid/sums" not in evidence:
        return []
    whole = np.rint(evidence["grid/distances"][0]).astype(int)
    seen = np.unique(whole[evidence["grid/pairs"].any(0)])
    sums, pairs = (
        np.stack([evidence[f"grid/{name}"][:, whole == each].sum(1) for each in seen], axis=1)
        for name in ("sums", "pairs")
    )
    low, high = curve_interval(_ratio(sums, pairs, seed), len(sums))
    table = {
        "distance": seen,
        column: sums.sum(0) / pairs.sum(0),
        "low": low,
        "high": high,
        "n": np.full(len(seen), len(sums)),
    }
    return [Series.of(f"{id}-grid", table, {"distance": "patches"})]


def _ratio(sums: np.ndarray, pairs: np.ndarray, seed: int) -> np.ndarray:
    """Of the means of sequences drawn again; where none of these has a pair there is no value."""
    above, below = resampled_means(sums, seed), resampled_means(pairs, seed)
    found: np.ndarray = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return found
