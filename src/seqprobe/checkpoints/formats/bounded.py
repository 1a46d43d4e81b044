"""Small files, read whole."""

from pathlib import Path

from seqprobe.checkpoints.container import unopened
from seqprobe.checkpoints.foreign import amount
from seqprobe.errors import FileError


def content(path: Path, most: int) -> bytes:
    """Give the bytes of a file that has at most so many.

    Raises:
        FileError: it has more, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = file.read(most + 1)
    except OSError as error:
        raise unopened(path, error) from error
    if len(found) > most:
        raise FileError(
            "the file is too large for what it is",
            where=path.name,
            got=f"more than {amount(most)}",
            do="Copy it again.",
        )
    return found
