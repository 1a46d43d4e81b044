"""The rows of files with a text and a label in each: tables, and JSON lines."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqprobe.errors import FileError
from seqprobe.sequences.corpus import bytes_of
from seqprobe.sequences.tokenizers.tokenizer import decoded

COLUMNS = {"text", "label"}
DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Row:
    """One example; `line` is where it ends in its file."""

    line: int
    text: str
    label: str


def rows_of(path: Path) -> Iterator[Row] | None:
    """The examples of a file; None if it has no such columns.

    Raises:
        FileError: a row is damaged; its line is named.
    """
    if path.suffix in DELIMITERS:
        return _table(path)
    return _json_lines(path) if path.suffix == ".jsonl" else None


def _table(path: Path) -> Iterator[Row] | None:
    text = unmarked(path)
    reader = csv.DictReader(io.StringIO(text), delimiter=DELIMITERS[path.suffix], strict=True)
    return _read(reader, path.name) if set(_columns(reader)) >= COLUMNS else None


def _columns(reader: csv.DictReader) -> Sequence[str]:
    """None where the first line is no line of a table."""
    try:
        return reader.fieldnames or ()
    except csv.Error:
        return ()


def unmarked(path: Path) -> str:
    """The text of a file. Excel marks UTF-8 by a first character that is no part of the text."""
    return decoded(bytes_of(path), path.name).removeprefix("\ufeff")


def _read(reader: csv.DictReader, where: str) -> Iterator[Row]:
    try:
        for row in reader:
            if None in row or None in row.values():
                raise damaged(where, reader.line_num, "too many or too few columns")
            yield Row(reader.line_num, row["text"], row["label"])
    except csv.Error as error:
        raise damaged(where, reader.reader.line_num, str(error)) from error


def _json_lines(path: Path) -> Iterator[Row] | None:
    lines = unmarked(path).split("\n")
    if not set(_object(lines[0]) or ()) >= COLUMNS:
        return None
    return _parsed(lines, path.name)


def _parsed(lines: Sequence[str], where: str) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = _object(line)
        if row is None or not isinstance(row.get("text"), str):
            raise damaged(where, number, "no object with a `text`")
        if not isinstance(row.get("label"), str | int | float):
            raise damaged(where, number, "no `label` that is a name or a number")
        yield Row(number, row["text"], str(row["label"]))


def _object(line: str) -> dict[str, Any] | None:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def damaged(where: str, line: int, got: str) -> FileError:
    """The error about one line."""
    return FileError(
        f"line {line:,} is no labelled text",
        where=where,
        got=got,
        expected="a text, and a label: an integer from 0, a real number, or a name",
        do="Correct this line.",
    )
