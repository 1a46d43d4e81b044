"""What one batch gave, in a file: arrays that cannot hold code, and words in JSON beside them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seqprobe.contracts import Evidence
from seqprobe.runner.outcome import Outcome, Part

WORDS = "words"


def only_arrays(part: Part) -> bool:
    """Whether all evidence is arrays of numbers, flags or words, so that it can be written."""
    batches = (rows for outcome in part.outcomes for rows in outcome.probe.evidence)
    return not any(np.asarray(each).dtype.hasobject for rows in batches for each in rows.values())


def write_part(path: Path, part: Part) -> None:
    """Write arrays as they are."""
    arrays: dict[str, np.ndarray] = {}
    outcomes = [
        {
            "not_applicable": outcome.not_applicable,
            "error": outcome.error,
            "seconds": outcome.seconds,
            "evidence": [_named(rows, arrays) for rows in outcome.probe.evidence],
        }
        for outcome in part.outcomes
    ]
    words = json.dumps({"outcomes": outcomes, "difference": part.difference})
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{WORDS: np.array(words)})


def read_part(path: Path, numbers: range, outcomes: Sequence[Outcome]) -> Part:
    """The part with these numbers of the pass that has these outcomes.

    Raises:
        Exception: of any kind; the file is damaged, or belongs to something else.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        words = json.loads(str(arrays[WORDS]))
        found = [
            _outcome(outcome, said, tuple(_rows(said["evidence"], arrays, numbers)))
            for outcome, said in zip(outcomes, words["outcomes"], strict=True)
        ]
    difference = words["difference"]
    return Part(numbers, found, None if difference is None else float(difference))


def _named(rows: Evidence, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """Under which name each array is kept: those of evidence may be any text."""
    names = {}
    for name, array in rows.items():
        names[name] = f"array {len(arrays)}"
        arrays[names[name]] = np.asarray(array)
    return names


def _rows(batches: Any, arrays: Any, numbers: range) -> Iterator[Evidence]:
    for names in batches:
        rows = {str(name): arrays[kept] for name, kept in names.items()}
        if not set(rows["sequence"].tolist()) <= set(numbers):
            raise ValueError("rows of other sequences")
        yield rows


def _outcome(outcome: Outcome, said: Any, evidence: tuple[Evidence, ...]) -> Outcome:
    return replace(
        outcome,
        probe=replace(outcome.probe, evidence=evidence),
        not_applicable=str(said["not_applicable"]),
        error=str(said["error"]),
        seconds=float(said["seconds"]),
    )
