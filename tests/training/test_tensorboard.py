"""Event files hold what the session measured; other tools take it as a dictionary."""

import sys
from pathlib import Path
from typing import Any

import pytest

from seqprobe.errors import FileError, UsageError
from seqprobe.results import Estimate, Finding, Measurement
from seqprobe.training import TensorBoard
from seqprobe.training.entry import Entry, Training

TRAINING = Training("Net", "recurrent", 10, 20, 0, "held out", {}, 0, "0.1.0", "2026-01-01")


def entry(step: int, value: float, *findings: Finding) -> Entry:
    metrics = {
        "horizon": Estimate(value, "steps", value - 1, value + 1, n=8),
        "half_life": Estimate.missing("steps", "no decay", low=5.0),
    }
    found = Measurement("So far.", metrics, "horizon")
    return Entry(TRAINING, step, "gradient-decay", found, findings=findings)


def test_event_files_are_read_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evidence = Estimate(1.0, "")
    rang = Finding(
        "vanished", "gradient-decay", "attention", "It is gone.", "horizon", evidence, "", "theory",
        "", "Do it.", "",
    )  # fmt: skip
    board = TensorBoard(tmp_path)
    board(entry(0, 2.0))
    board(entry(10, 4.0, rang))
    board(Entry(TRAINING, 10, "heads", None, "no attention"))
    events = EventAccumulator(str(tmp_path))
    events.Reload()  # not closed yet: what was written can be seen at once
    assert {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    } == {
        "gradient-decay/horizon": [(0, 2.0), (10, 4.0)],
        "gradient-decay/horizon/low": [(0, 1.0), (10, 3.0)],
        "gradient-decay/horizon/high": [(0, 3.0), (10, 5.0)],
        "gradient-decay/half_life/low": [(0, 5.0), (10, 5.0)],
    }
    (text,) = events.Tensors("gradient-decay/vanished/text_summary")
    assert text.step == 10
    assert b"It is gone." in text.tensor_proto.string_val[0]
    assert b"Do it." in text.tensor_proto.string_val[0]
    board.close()


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"not installed\. pip install 'seqprobe\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"file: cannot be written to; got "):
        TensorBoard(tmp_path / "file")


class _Wandb:
    """The signature of `wandb.log`."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], int | None]] = []

    def log(
        self, data: dict[str, Any], step: int | None = None, commit: bool | None = None
    ) -> None:
        self.got.append((data, step))


class _Mlflow:
    """The signature of `mlflow.log_metrics`."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, float], int | None]] = []

    def log_metrics(
        self, metrics: dict[str, float], step: int | None = None, synchronous: bool | None = None
    ) -> None:
        self.got.append((metrics, step))


def test_other_tools_take_a_line_each() -> None:
    wandb, mlflow = _Wandb(), _Mlflow()
    for log in (
        lambda entry: wandb.log(entry.scalars(), step=entry.step),
        lambda entry: mlflow.log_metrics(entry.scalars(), step=entry.step),
    ):
        log(entry(10, 4.0))
    assert wandb.got == mlflow.got == [({"gradient-decay/horizon": 4.0}, 10)]
