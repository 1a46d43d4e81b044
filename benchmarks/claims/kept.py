"""What was measured, part by part, in one JSON file; a run that is cut short goes on from it."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from seqprobe.atomic import replacing
from seqprobe.errors import UsageError

Part = dict[str, Any]


@dataclass(frozen=True)
class Book:
    """Parts by name; each has the day, and the number of the run that measured it.

    A run is a machine and a command, in words.
    """

    runs: list[dict[str, str]] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Book":
        """An empty one where there is no file."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), separators=(",", ":")) + "\n")


class Kept:
    """A book that a run adds to; others of the same machine may add other parts meanwhile.

    Raises:
        UsageError: it is of another machine, whose parts would be taken for those of this one.
    """

    def __init__(self, path: Path, run: dict[str, str]) -> None:
        self.path, self.run = path, run
        for other in {each["hardware"] for each in self.book.runs} - {run["hardware"]}:
            raise UsageError(
                "what is kept was measured on another machine",
                where=path.name,
                got=run["hardware"],
                expected=other,
                do="Give another file: -o docs/paradigm-gpu.json.",
            )

    @property
    def book(self) -> Book:
        return Book.read(self.path)

    def has(self, name: str) -> bool:
        """Whether it was measured before."""
        return name in self.book.parts

    def part(self, name: str, measure: Callable[[], Part]) -> Part:
        """What is kept under the name; measured now, and written, where there is nothing yet."""
        if not self.has(name):
            started = perf_counter()
            self._write(name, measure())
            print(f"{name}: {perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        return self.book.parts[name]

    def _write(self, name: str, found: Part) -> None:
        book = self.book
        if self.run not in book.runs:
            book.runs.append(self.run)
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        book.parts[name] = {**found, "run": book.runs.index(self.run), "date": date}
        book.write(self.path)
