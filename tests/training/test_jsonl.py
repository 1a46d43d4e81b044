"""What a session measures stands in the file at once, line by line, whatever happens to it."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqprobe.errors import FileError, UsageError
from seqprobe.results import Estimate, Finding, Measurement, Null, Series
from seqprobe.training import JSONL, Story
from seqprobe.training.entry import Entry, Training
from seqprobe.training.lines import MOST_ROWS, thinned

TRAINING = Training(
    "Net", "recurrent", 1000, 20, 0, "held out", {"gradient-decay": 10}, 0, "0.1.0", "2026-01-01"
)
HORIZON = Estimate(1 / 3, "steps", 0.123456789, 2.0, n=8, null=Null("memoryless", 0.0, -np.inf))
FINDING = Finding(
    "vanished", "gradient-decay", "attention", "It is gone.", "horizon", HORIZON, "below 1",
    "our convention", "A paper", "Do something.", "A longer one.",
)  # fmt: skip


def measured(step: int, training: Training = TRAINING, **more: Any) -> Entry:
    rows = {"distance": range(100), "relative": np.exp(-np.arange(100) / 7)}
    measurement = Measurement(
        f"At {step}.",
        {"horizon": HORIZON, "rate": Estimate.missing("", "too few", low=1.0)},
        "horizon",
        (Series.of("gradient-decay", rows, {"distance": "steps"}), Series.of("second", rows)),
        ("careful",),
    )
    return Entry(training, step, "gradient-decay", measurement, seconds=0.1, **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "run.jsonl"


def test_each_line_is_there_at_once(path: Path) -> None:
    log = JSONL(path)
    assert path.read_bytes() == b""
    for step in (0, 10):
        log(measured(step))
        assert [line.step for line in Story.read(path).lines] == list(range(0, step + 1, 10))
    kinds = [json.loads(line).keys() for line in path.read_text().splitlines()]
    assert ["schema" in kind for kind in kinds] == [True, False, False]


def test_what_is_written_is_read(path: Path) -> None:
    JSONL(path)(measured(10, findings=(FINDING,)))
    story = Story.read(path)
    assert story.trainings == (TRAINING,)
    (line,) = story.lines
    short = replace(
        HORIZON, value=0.333333, low=0.123457, null=Null("memoryless", 0.0)
    )  # six digits; what is not finite is not there
    assert line.metrics["horizon"] == short
    assert line.metrics["rate"] == Estimate.missing("", "too few", low=1.0)
    assert line.findings == (replace(FINDING, evidence=short),)
    assert (line.headline, line.warnings, line.seconds) == ("At 10.", ("careful",), 0.1)
    assert story.rung == [(10, line.findings[0])]


def test_what_was_not_measured_says_why(path: Path) -> None:
    JSONL(path)(Entry(TRAINING, 3, "heads", None, "no attention"))
    (line,) = Story.read(path).lines
    assert (line.step, line.check, line.why_not, line.metrics) == (3, "heads", "no attention", {})


def test_the_first_table_comes_along_thinned(path: Path) -> None:
    JSONL(path)(measured(0))
    table = Story.read(path).lines[0].table
    assert table is not None
    distances = table.column("distance")
    assert len(distances) <= MOST_ROWS < table.total_rows == 100
    assert distances[:3] == [0, 1, 2]
    assert distances[-1] == 99
    assert np.all(np.diff(distances, 2) >= -1), "denser near zero"
    assert table.column("relative") == [float(f"{np.exp(-k / 7):.6g}") for k in distances]


@pytest.mark.parametrize(("places", "sites"), [(100, 2), (12, 8), (3, 60), (1, 1)])
def test_thinning_keeps_all_sites_of_a_place(places: int, sites: int) -> None:
    parts = [{"distance": np.arange(places), "site": f"{site}"} for site in range(sites)]
    rows = thinned(Series.stacked("x", parts)).rows
    assert 0 < len(rows) <= MOST_ROWS
    if sites <= MOST_ROWS:
        kept = {row[0] for row in rows}
        assert {0, places - 1} <= kept
        assert len(rows) == len(kept) * sites


def test_an_empty_table_stays_empty() -> None:
    assert thinned(Series.of("x", {"distance": []})).rows == ()


class TestAFileThatIsThere:
    def test_gets_a_new_header_and_what_is_measured_again_replaces(self, path: Path) -> None:
        first = JSONL(path)
        for step in (0, 10, 20):
            first(measured(step))
        again = replace(TRAINING, start=10, seed=1)
        second = JSONL(path)
        for step in (10, 30):
            second(measured(step, again))
        story = Story.read(path)
        assert story.trainings == (TRAINING, again)
        assert story.training.seed == 1
        assert [line.step for line in story.lines] == [0, 10, 30]

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_torn_by_a_kill_goes_on_on_a_new_line(self, path: Path, share: float) -> None:
        log = JSONL(path)
        log(measured(0))
        log(measured(10))
        whole = path.read_bytes()
        start = whole.rindex(b"\n", 0, -1) + 1
        path.write_bytes(whole[: start + 1 + int(share * (len(whole) - start - 2))])
        JSONL(path)(measured(20, replace(TRAINING, start=20)))
        assert [line.step for line in Story.read(path).lines] == [0, 20]

    def test_torn_in_its_very_header(self, path: Path) -> None:
        JSONL(path)(measured(0))
        path.write_bytes(path.read_bytes()[:20])
        JSONL(path)(measured(5))
        assert [line.step for line in Story.read(path).lines] == [5]

    def test_of_another_kind_is_left_alone(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_text('{"text": "my data"}\n')
        with pytest.raises(FileError, match=r"run.jsonl: another file is there already; got no"):
            JSONL(path)
        assert path.read_text() == '{"text": "my data"}\n'


class TestRefused:
    def test_another_ending(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"got 'run.json'; expected a name such as run.jsonl"):
            JSONL(tmp_path / "run.json")

    def test_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").mkdir()
        with pytest.raises(FileError, match=r"a.jsonl: not a file"):
            JSONL(tmp_path / "a.jsonl")

    def test_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(FileError, match=r"run.jsonl: cannot be written; got "):
            JSONL(tmp_path / "file" / "run.jsonl")


def test_a_full_disk_is_said_and_the_next_line_stands_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = JSONL(path)
    log(measured(0))
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda path, mode, buffering: _Full(path, mode))
        with pytest.raises(FileError, match="a line was written in part only"):
            log(measured(10))
    log(measured(20, replace(TRAINING, start=20)))
    assert [line.step for line in Story.read(path).lines] == [0, 20]


class _Full(io.FileIO):
    """Has room for 50 bytes."""

    def write(self, data: Any) -> int:
        return super().write(data[:50])
