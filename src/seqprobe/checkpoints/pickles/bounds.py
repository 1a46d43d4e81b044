"""How large a pickle may be: far more than any checkpoint needs, and never a burden."""

from seqprobe.errors import FileError

PICKLE_BYTES = 64 * 2**20
TEXT_BYTES = 16 * 2**20
OPERATIONS = 3_000_000
OBJECTS = 1_000_000
INTEGER_BITS = 256


def too_large(what: str, most: int, unit: str) -> FileError:
    """The refusal of what goes beyond."""
    return FileError(
        f"{what} is larger than a checkpoint needs",
        expected=f"at most {most:,} {unit}",
        do="Save the state dict alone, with torch.save.",
    )
