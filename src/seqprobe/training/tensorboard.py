"""A logger that writes event files for TensorBoard."""

from collections.abc import Iterator
from pathlib import Path

from seqprobe.errors import FileError, UsageError
from seqprobe.results import Finding
from seqprobe.training.entry import Entry


class TensorBoard:
    """Writes every estimated number as a scalar, its interval beside it, and warnings as text.

    Args:
        folder: of the event files, often the one that the training itself writes to.

    Raises:
        UsageError: tensorboard is not installed.
        FileError: nothing can be written there.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "tensorboard is not installed", do="pip install 'seqprobe[tensorboard]'"
            ) from error
        try:
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            raise FileError(
                "cannot be written to",
                where=str(folder),
                got=error.strerror or str(error),
                do="Choose another folder.",
            ) from error

    def __call__(self, entry: Entry) -> None:
        """Write one entry; it can be seen at once."""
        for name, value in (entry.scalars() | dict(_bounds(entry))).items():
            self._writer.add_scalar(name, value, entry.step)
        for finding in entry.findings:
            self._writer.add_text(f"{entry.check}/{finding.rule}", _words(finding), entry.step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def _bounds(entry: Entry) -> Iterator[tuple[str, float]]:
    metrics = entry.measurement.metrics if entry.measurement else {}
    for name, estimate in metrics.items():
        for end, bound in (("low", estimate.low), ("high", estimate.high)):
            if bound is not None:
                yield f"{entry.check}/{name}/{end}", bound


def _words(finding: Finding) -> str:
    return f"**{finding.status}**: {finding.statement}\n\n{finding.remedy}"
