"""Series of numbers in files: arrays of numpy, and tables."""

import csv
import io
from pathlib import Path

import numpy as np

from seqprobe.sequences import arrays
from seqprobe.sequences.corpus import bytes_of
from seqprobe.sequences.labelled_rows import DELIMITERS, unmarked
from seqprobe.sequences.series import Series, no_series, series_of


def read_series(path: Path) -> Series:
    """Read `.npy` of (sequences, time, features) or (time, features), or a table of numbers.

    A row of a table is a step; a first row that is no numbers names the columns.

    Raises:
        FileError: it holds something else, or numbers that are not finite.
    """
    content = bytes_of(path)
    if path.suffix in DELIMITERS:
        return series_of(path.name, content, _table(path))
    values = arrays.loaded(content)
    if not isinstance(values, np.ndarray):
        raise no_series(path.name, arrays.DAMAGED)
    return series_of(path.name, content, values)


def _table(path: Path) -> np.ndarray:
    reader = csv.reader(io.StringIO(unmarked(path)), delimiter=DELIMITERS[path.suffix])
    rows: list[list[float]] = []
    try:
        for row in filter(None, reader):
            numbers = _numbers(row)
            if numbers and len(numbers) == len(rows[0] if rows else numbers):
                rows.append(numbers)
            elif rows or reader.line_num > 1:
                raise no_series(path.name, f"{','.join(row)[:40]!r} in line {reader.line_num:,}")
    except csv.Error as error:
        raise no_series(path.name, f"{error} in line {reader.line_num:,}") from error
    return np.array(rows)


def _numbers(row: list[str]) -> list[float]:
    """None at all, if one of them is something else."""
    try:
        return [float(number) for number in row]
    except ValueError:
        return []
