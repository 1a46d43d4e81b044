"""What numpy reads from the bytes of a file; never Python objects."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

DAMAGED = "a damaged file, or one with Python objects"


def loaded(content: bytes) -> np.ndarray | dict[str, np.ndarray] | None:
    """One array of an `.npy`, or all of an `.npz` by name; None for anything else."""
    try:
        read = np.load(io.BytesIO(content), allow_pickle=False)
        return dict(read) if isinstance(read, Mapping) else read
    except (ValueError, EOFError, OSError, zipfile.BadZipFile):
        return None
