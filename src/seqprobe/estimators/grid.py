"""Patches of an image in raster order: how far apart they are, and what lies at each distance."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Grid = tuple[int, int]


class OverGrid(NamedTuple):
    """Sums of something at each distance from some patches, and how many patches lie there.

    `distances` are all that there are on the grid, in patches, ascending. `even`: the sums if each
    of these patches had to do with all that it sees alike, and as much in all.
    """

    distances: Float[np.ndarray, " distances"]
    sums: Float[np.ndarray, "batch distances"]
    even: Float[np.ndarray, "batch distances"]
    pairs: Float[np.ndarray, "batch distances"]


def squared_distances(grid: Grid) -> Float[np.ndarray, "patches patches"]:
    """Between the centres of all patches, in patches: Euclidean, as the attention distance in
    An image is worth 16x16 words (Dosovitskiy et al., 2021).
    """
    rows, columns = grid
    row, column = np.divmod(np.arange(float(rows * columns)), columns)
    squares: np.ndarray = np.subtract.outer(row, row) ** 2 + np.subtract.outer(column, column) ** 2
    return squares


def over_grid(
    amounts: Float[np.ndarray, "batch chosen patches"],
    steps: np.ndarray,
    grid: Grid,
) -> OverGrid:
    """What every patch has to do with the patches at `steps`, (batch, chosen); NaN is not seen."""
    squares, index = np.unique(squared_distances(grid), return_inverse=True)
    bins = index.reshape(amounts.shape[-1], -1)[steps]
    seen = ~np.isnan(amounts)
    mean = np.nanmean(amounts, axis=2, keepdims=True)

    def at_each(numbers: np.ndarray) -> np.ndarray:
        rows = zip(bins, numbers, strict=True)
        return np.stack([np.bincount(b.ravel(), row.ravel(), len(squares)) for b, row in rows])

    return OverGrid(
        np.sqrt(squares),
        at_each(np.where(seen, amounts, 0.0)),
        at_each(np.where(seen, mean, 0.0)),
        at_each(seen),
    )


def around(
    later: Float[np.ndarray, "batch chosen distances"],
    earlier: Float[np.ndarray, "batch chosen some"],
    steps: np.ndarray,
) -> Float[np.ndarray, "batch chosen distances"]:
    """By place what is given by distance: k after the chosen steps, and k before them.

    NaN before them where `earlier` has no such distance.
    """
    offset = np.arange(later.shape[2]) - steps[..., None]
    after = np.take_along_axis(later, offset.clip(0), 2)
    known = np.pad(earlier, ((0, 0), (0, 0), (0, later.shape[2] - earlier.shape[2])),
                   constant_values=np.nan)  # fmt: skip
    found: np.ndarray = np.where(
        offset >= 0, after, np.take_along_axis(known, (-offset).clip(0), 2)
    )
    return found
