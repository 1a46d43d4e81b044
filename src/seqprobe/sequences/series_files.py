"""Series of numbers in files: arrays of numpy, and tables."""

import csv
from pathlib import Path

import numpy as np

from seqprobe.sequences import arrays
from seqprobe.sequences.corpus import bytes_of
from seqprobe.sequences.labelled_rows import DELIMITERS
from seqprobe.sequences.series import Series, no_series, series_of
from seqprobe.sequences.tokenizers.tokenizer import decoded


def read_series(path: Path) -> Series:
    """Read `.npy` of (sequences, time, features) or (time, features), or a table of numbers.

    A row of a table is a step; a first row that is no numbers names the columns.

    Raises:
        FileError: it holds something else, or numbers that are not finite.
    """
    content = bytes_of(path)
    if path.suffix in DELIMITERS:
        return series_of(path.name, content, _table(content, path))
    values = arrays.loaded(content)
    if not isinstance(values, np.ndarray):
        raise no_series(path.name, arrays.DAMAGED)
    return series_of(path.name, content, values)


def _table(content: bytes, path: Path) -> np.ndarray:
    delimiter = DELIMITERS[path.suffix]
    lines = [line for line in decoded(content, path.name).split("\n") if line.strip()]
    first = next(csv.reader(lines[:1], delimiter=delimiter), [])
    rows = lines if all(map(_is_number, first)) else lines[1:]
    if not rows:
        raise no_series(path.name, "no rows of numbers")
    try:
        return np.loadtxt(rows, delimiter=delimiter, ndmin=2, comments=None)
    except ValueError as error:
        raise no_series(path.name, str(error).split(";")[0].rstrip(".")) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
