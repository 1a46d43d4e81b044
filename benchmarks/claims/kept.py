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
    """A book that one run adds to."""

    def __init__(self, path: Path, run: dict[str, str]) -> None:
        self.path, self.book = path, Book.read(path)
        if run not in self.book.runs:
            self.book.runs.append(run)
        self.run = self.book.runs.index(run)

    def has(self, name: str) -> bool:
        """Whether it was measured before."""
        return name in self.book.parts

    def part(self, name: str, measure: Callable[[], Part]) -> Part:
        """What is kept under the name; measured now, and written, where there is nothing yet."""
        if not self.has(name):
            started = perf_counter()
            found = measure()
            date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            self.book.parts[name] = {**found, "run": self.run, "date": date}
            self.book.write(self.path)
            print(f"{name}: {perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        return self.book.parts[name]
