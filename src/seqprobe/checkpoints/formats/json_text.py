"""JSON that someone else wrote: bounded, and never a traceback."""

import json
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats.bounded import content
from seqprobe.errors import FileError

LIMIT = 100_000_000  # bytes; what the safetensors library allows its headers


def mapping(text: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        FileError: it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(
            "damaged JSON", where=where, got=str(error).split("\n")[0], do="Copy it again."
        ) from None
    if not isinstance(value, dict):
        raise FileError(
            "unusual JSON",
            where=where,
            got=f"a {type(value).__name__}",
            expected="an object with names",
            do="Copy it again.",
        )
    return value


def read(path: Path) -> dict[str, Any]:
    """Parse a file that holds a JSON object; the same errors."""
    return mapping(content(path, LIMIT), path.name)
