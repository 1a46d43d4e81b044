"""A fingerprint of a checkpoint, for the record of where results came from."""

import hashlib
from pathlib import Path

from seqprobe.checkpoints.container import unopened


def sha256(path: Path) -> str:
    """Hash a file, or the names and the hashes of the files that lie directly in a folder.

    Raises:
        FileError: a file cannot be read.
    """
    if not path.is_dir():
        return _of_file(path)
    whole = hashlib.sha256()
    for file in sorted(file for file in path.iterdir() if file.is_file()):
        whole.update(f"{file.name}\0{_of_file(file)}\n".encode())
    return whole.hexdigest()


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unopened(path, error) from error
