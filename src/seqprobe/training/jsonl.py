"""A logger that writes a file which `seqprobe report` and `seqprobe watch` read."""

import os
from pathlib import Path

from seqprobe.errors import FileError, UsageError
from seqprobe.training.entry import Entry, Training
from seqprobe.training.lines import BEGINNING, Line, header, text

ENDING = ".jsonl"


class JSONL:
    """Writes each entry as one line, whole, as soon as it is known.

    A file that is there already gets the new session at its end. The measurement's first table
    comes along with at most 40 rows, numbers with 6 digits.

    Args:
        path: ending in .jsonl; missing folders are made.

    Raises:
        UsageError: the name has another ending.
        FileError: the file cannot be written, or is one of another kind.

    Example:
        >>> import tempfile
        >>> log = JSONL(f"{tempfile.mkdtemp()}/run.jsonl")  # attach(model, loggers=[log])
        >>> log.path.name
        'run.jsonl'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix != ENDING:
            raise UsageError(
                "a story of a training has another ending",
                got=repr(self.path.name),
                expected=f"a name such as run{ENDING}",
            )
        try:
            self._torn = _torn(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        except OSError as error:
            raise FileError(
                "cannot be written",
                where=str(path),
                got=error.strerror or str(error),
                do="Choose another file.",
            ) from error
        self._training: Training | None = None

    def __call__(self, entry: Entry) -> None:
        """Write one entry; the first of a session after the session's header."""
        if entry.training is not self._training:
            self._write(header(entry.training))
            self._training = entry.training
        self._write(text(Line.of(entry)))

    def _write(self, line: str) -> None:
        """What was torn before stays alone on its line."""
        data = (b"\n" if self._torn else b"") + line.encode()
        self._torn = True
        with self.path.open("ab", buffering=0) as file:
            if file.write(data) < len(data):
                raise FileError("a line was written in part only", where=self.path.name)
        self._torn = False


def _torn(path: Path) -> bool:
    """Whether the last line has no end, because its writer was killed."""
    if not path.exists():
        return False
    if not path.is_file():
        raise FileError("not a file", where=str(path), do="Choose another name.")
    with path.open("rb") as file:
        beginning = file.read(len(BEGINNING)).partition(b"\n")[0]
        if not BEGINNING.startswith(beginning):
            raise FileError(
                "another file is there already",
                where=str(path),
                got="no story of a training",
                do="Choose another name, or remove it.",
            )
        file.seek(-1 if beginning else 0, os.SEEK_END)
        return file.read() not in (b"", b"\n")
