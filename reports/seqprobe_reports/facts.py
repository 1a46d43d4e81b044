"""What is known about models, data and circumstances: a label, and a value per model."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from seqprobe.report import Report
from seqprobe_reports import numbers
from seqprobe_reports.subjects import Subject

Facts = dict[str, list[str]]
_Reading = Mapping[str, Callable[[Report], Any]]

_MODEL: _Reading = {
    "Family": lambda report: report.model.family,
    "Parameters": lambda report: report.model.parameters,
    "Number types": lambda report: report.model.dtypes,
    "Came as": lambda report: report.model.source,
    "File container": lambda report: report.model.container,
    "Layout": lambda report: report.model.layout,
    "File size in bytes": lambda report: report.model.bytes,
    "SHA-256 of the file": lambda report: report.model.sha256,
    "Tied weights": lambda report: report.model.tied,
    "Weights with NaN or infinity": lambda report: report.model.nonfinite,
    "Unsafe pickle allowed": lambda report: report.model.unsafe_pickle,
}
_DATA: _Reading = {
    "Source": lambda report: report.data.source,
    "Split": lambda report: report.data.split,
    "Tokenizer": lambda report: report.data.tokenizer,
    "Sequences": lambda report: report.data.sequences,
    "Steps in all": lambda report: report.data.tokens,
    "Loss of the token frequencies alone (nats)": lambda report: report.data.unigram_nll,
    "SHA-256 of the data": lambda report: report.data.sha256,
}
_CIRCUMSTANCES: _Reading = {
    "Command": lambda report: shlex.join(report.command),
    "Created": lambda report: report.created,
    "Distance asked about": lambda report: report.distance,
    "Seconds": lambda report: report.timing,
    "Warnings": lambda report: report.warnings,
}


def model(subjects: Sequence[Subject]) -> Facts:
    """The file and the weights."""
    return _facts(subjects, _MODEL)


def plan(subjects: Sequence[Subject]) -> Facts:
    """What was recognised in the model."""
    return _columns([subject.report.model.plan for subject in subjects])


def data(subjects: Sequence[Subject]) -> Facts:
    """What the models were fed."""
    return _facts(subjects, _DATA)


def provenance(subjects: Sequence[Subject]) -> Facts:
    """How to do it again."""
    environments = [asdict(subject.report.environment) for subject in subjects]
    return _facts(subjects, _CIRCUMSTANCES) | _columns(environments)


def _facts(subjects: Sequence[Subject], reading: _Reading) -> Facts:
    return _columns(
        [{name: read(subject.report) for name, read in reading.items()} for subject in subjects]
    )


def _columns(records: Sequence[Mapping[str, Any]]) -> Facts:
    """Side by side, without the rows that are empty for all."""
    labels = dict.fromkeys(label for record in records for label in record)
    rows = {label: [words(record.get(label)) for record in records] for label in labels}
    return {label: values for label, values in rows.items() if any(values)}


def words(value: Any) -> str:
    """Any JSON value as plain words.

    >>> words({"mixers": ["rnn.0", "rnn.1"], "causal": True})
    'mixers: rnn.0, rnn.1; causal: yes'
    """
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {words(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(words(part) for part in value)
    return numbers.cell(value) if isinstance(value, bool | int | float | str) else str(value)
