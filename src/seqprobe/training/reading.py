"""Reads RUN.jsonl line by line, also while it grows; nothing in it is ever executed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from seqprobe.errors import FileError
from seqprobe.training.entry import Training
from seqprobe.training.lines import SCHEMA, Line

LONGEST_INTEGER = 18


class Reading:
    """A file that is read as far as it goes; `go_on` reads what came since.

    Lines are taken when they are complete. A damaged one that stands before a new session, or
    last, was torn when its writer was killed, and is left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start()

    def _start(self) -> None:
        self._trainings: list[Training] = []
        self._lines: list[Line] = []
        self._read, self._number = 0, 0
        self._rest, self._torn = b"", ""

    @property
    def begun(self) -> bool:
        """Whether there is a session in it yet."""
        return bool(self._trainings)

    def go_on(self) -> bool:
        """Read on; whether there was anything new.

        Raises:
            FileError: it cannot be read, or something else stands in it.
        """
        new = self._new()
        *complete, self._rest = (self._rest + new).split(b"\n")
        for line in complete:
            self._take(line)
        return bool(new)

    def told(self) -> tuple[tuple[Training, ...], tuple[Line, ...]]:
        """The record of each session, and all lines by step.

        Raises:
            FileError: there is no session in it.
        """
        if not self.begun:
            raise FileError(
                "no story of a training",
                where=self.path.name,
                got="an empty file" if not self._read else "no session",
                expected=f"a file that seqprobe.training.JSONL wrote ({SCHEMA})",
            )
        whole = [*self._lines, *self._without_end()]
        return tuple(self._trainings), tuple(sorted(whole, key=lambda line: line.step))

    def _new(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._read:
                    self._start()
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            raise FileError("no such file", where=str(self.path), do="Check the path.") from None
        except OSError as error:
            raise FileError(
                "the file cannot be opened", where=str(self.path), got=error.strerror or str(error)
            ) from error
        self._read += len(new)
        return new

    def _take(self, line: bytes) -> None:
        self._number += 1
        contents = _contents(line)
        begins = isinstance(contents, dict) and "schema" in contents
        if self._torn and not begins:
            raise self._damaged(self._number - 1, self._torn)
        self._torn = contents if isinstance(contents, str) else ""
        if isinstance(contents, dict):
            self._begin(contents) if begins else self._lines.append(
                self._line(contents, self._number)
            )

    def _begin(self, contents: dict[str, Any]) -> None:
        """What the new session will measure again is dropped."""
        if contents["schema"] != SCHEMA:
            raise self._damaged(
                self._number, f"the schema {contents['schema']!r} instead of {SCHEMA}"
            )
        training = self._valid(Training, contents.get("training"), self._number)
        self._trainings.append(training)
        self._lines = [line for line in self._lines if line.step < training.start]

    def _line(self, contents: dict[str, Any], number: int) -> Line:
        if not self.begun:
            raise self._damaged(number, "no header before it")
        line: Line = self._valid(Line, contents, number)
        return line

    def _without_end(self) -> list[Line]:
        """The last line where only its end is missing."""
        contents = _contents(self._rest)
        if not isinstance(contents, dict) or "schema" in contents:
            return []
        return [self._line(contents, self._number + 1)]

    def _valid(self, kind: Any, contents: Any, number: int) -> Any:
        try:
            return _validated(kind)(contents)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the top"
            raise self._damaged(number, f"{first['msg']} at {place}") from error

    def _damaged(self, number: int, got: str) -> FileError:
        return FileError(
            f"line {number} is damaged, or no part of a training's story",
            where=self.path.name,
            got=got,
            do="Remove that line, or give the file that seqprobe.training.JSONL wrote.",
        )


@cache
def _validated(kind: Any) -> Callable[[Any], Any]:
    return TypeAdapter(kind).validate_python


def _contents(line: bytes) -> dict[str, Any] | str | None:
    """The object in a line, what is wrong with it, or nothing where it is blank."""
    if not line.strip():
        return None
    try:
        found = json.loads(line, parse_constant=_refused, parse_float=_finite, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        return f"{error}"
    return found if isinstance(found, dict) else f"{type(found).__name__} instead of an object"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= LONGEST_INTEGER else _finite(text)


def _refused(text: str) -> float:
    raise ValueError(f"{text} is no number")
