"""Where a report goes: looked at before anything is computed, written when all is done."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqprobe.errors import FileError, UsageError

if TYPE_CHECKING:
    from seqprobe.report import Comparison, Report


@dataclass(frozen=True)
class Outputs:
    """The page, and the JSON that belongs to it."""

    page: Path
    json: Path

    @classmethod
    def chosen(cls, page: Path, json: Path | None) -> "Outputs":
        """What the user asked for; the JSON stands beside the page."""
        if page.suffix != ".html":
            raise _wrong_ending("-o", page, ".html")
        if json is not None and json.suffix != ".json":
            raise _wrong_ending("--json", json, ".json")
        both = cls(page, json or page.with_suffix(".json"))
        check_writable(both.page)
        check_writable(both.json)
        return both

    @property
    def progress(self) -> Path:
        """The folder of what is finished, as long as there is no report."""
        return self.page.with_suffix(".progress")

    def kept(self, *, resume: bool) -> dict[str, Any]:
        """What the library is told about it."""
        if resume and not self.progress.exists():
            click.echo(f"Nothing to resume in {self.progress}: a new start.", err=True)
        return {"journal": self.progress, "resume": resume}

    def save(self, report: "Report | Comparison") -> None:
        """The page first: drawing is what may fail, and then nothing is left behind."""
        from seqprobe.runner.journal import Journal

        try:
            report.save(self.page)
            report.save(self.json)
        except Exception:
            Journal(self.progress).remove()
            raise

    def settle(self, why_cut_short: str) -> None:
        """Remove what was finished, or say how to go on from it."""
        from seqprobe.runner.journal import Journal

        if not why_cut_short:
            Journal(self.progress).remove()
        elif self.progress.exists():
            click.echo(f"{why_cut_short} The same command with --resume goes on.", err=True)


def check_writable(path: Path) -> None:
    """Say now, and not after minutes of measuring, that a file cannot be written."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FileError(
            "cannot be written",
            where=str(path),
            got="a folder of that name" if path.is_dir() else f"{folder}, where it would lie",
            expected="a file name in a folder that you may write to",
            do="Choose another one with -o.",
        )


def _wrong_ending(option: str, path: Path, ending: str) -> UsageError:
    return UsageError(
        f"{option} has another ending than {ending}",
        got=repr(path.name),
        expected=f"a name such as report{ending}",
        do="The page goes to -o, its JSON to --json or beside the page.",
    )
