"""Whatever stands in the file: a story, or one line that says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqprobe.errors import FileError, UsageError
from seqprobe.training import Story
from seqprobe.training.reading import Reading

TRAINING = {
    "name": "Net", "family": "recurrent", "parameters": 10, "distance": 20, "start": 0,
    "held_out": "first batch", "every": {"position": 10}, "seed": 0, "seqprobe": "0.1.0",
    "created": "2026-01-01",
}  # fmt: skip
HEADER = {"schema": "seqprobe.training/1", "training": TRAINING}


def entry(step: int, check: str = "position", value: float = 1.0, **more: Any) -> dict[str, Any]:
    horizon = {"value": value, "unit": "steps", "low": 0.5, "high": 2.0, "n": 8}
    return {"step": step, "check": check, "metrics": {"horizon": horizon}, **more}


def written(path: Path, *lines: Any, end: str = "\n") -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + end)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_curves_over_steps(path: Path) -> None:
    story = Story.read(written(path, HEADER, entry(0), entry(0, "context"), entry(10, value=3.0)))
    assert story.checks == ["position", "context"]
    assert [(step, e.value) for step, e in story.curve("position", "horizon")] == [(0, 1), (10, 3)]
    assert story.metrics("context") == ["horizon"]
    frame = story.to_pandas()
    assert list(frame["step"]) == [0, 0, 10]
    assert frame.iloc[2].to_dict() == {
        "step": 10, "check": "position", "metric": "horizon", "value": 3.0, "low": 0.5,
        "high": 2.0, "unit": "steps", "n": 8, "reason": "",
    }  # fmt: skip


def test_own_passes_that_come_late_stand_at_their_step(path: Path) -> None:
    story = Story.read(written(path, HEADER, entry(10), entry(0, "states")))
    assert [line.step for line in story.lines] == [0, 10]


def test_json_holds_it_all(path: Path, tmp_path: Path) -> None:
    story = Story.read(written(path, HEADER, entry(0)))
    saved = json.loads(story.save(tmp_path / "story.json").read_text())
    assert saved["schema"] == "seqprobe.story/1"
    assert saved["lines"][0]["metrics"]["horizon"]["value"] == 1.0
    with pytest.raises(UsageError, match=r"no renderer for \.pdf"):
        story.save(tmp_path / "story.pdf")


def test_a_torn_last_line_is_left_out(path: Path) -> None:
    story = Story.read(written(path, HEADER, entry(0), '{"step": 10, "che', end=""))
    assert [line.step for line in story.lines] == [0]


def test_a_last_line_that_lacks_only_its_end_counts(path: Path) -> None:
    story = Story.read(written(path, HEADER, entry(0), entry(10), end=""))
    assert [line.step for line in story.lines] == [0, 10]


def test_fields_of_later_versions_are_ignored(path: Path) -> None:
    header = {**HEADER, "training": {**TRAINING, "new": 1}, "more": 2}
    assert len(Story.read(written(path, header, entry(0, newer={"a": 1}))).lines) == 1


@given(cut=st.integers(0, 10_000))
def test_cut_anywhere_it_is_a_beginning(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.jsonl"
    lines = [HEADER, entry(0), entry(10), {**HEADER, "training": {**TRAINING, "start": 10}}]
    whole = "\n".join(json.dumps(line) for line in [*lines, entry(10), entry(20)]) + "\n"
    path.write_text(whole[: cut % (len(whole) + 1)])
    reading = Reading(path)
    reading.go_on()
    if reading.begun:
        steps = [line.step for line in Story.so_far(reading).lines]
        assert steps in ([], [0], [0, 10], [0, 10, 20])


DEEP = "[" * 100_000
TABLE = {"id": "x", "columns": [{"name": "distance"}], "total_rows": 1}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "got Expecting value"),
        ("[1]", "got list instead of an object"),
        (DEEP, "line 2 is damaged"),
        ('{"step": NaN, "check": "x"}', "NaN is no number"),
        ('{"step": 1, "check": "x", "seconds": 1e999}', "1e999 is no finite number"),
        (f'{{"step": 1, "check": "x", "seconds": 1{"0" * 400}}}', "is no finite number"),
        ('{"check": "x"}', "Field required at step"),
        ('{"step": "soon", "check": "x"}', "valid integer"),
        ('{"step": -1, "check": "x"}', "greater than or equal to 0 at step"),
        (entry(0, why_not=[1]), "valid string at why_not"),
        (entry(0, findings=[{}]), "Field required at findings.0"),
        (entry(0, metrics={"a": {"value": None, "unit": ""}}), "needs a reason at metrics.a"),
        (entry(0, table={**TABLE, "rows": [[1, 2]]}), "2 cells in a row of 1 columns"),
        (entry(0, table={**TABLE, "rows": [["a"]]}), "words in the column 'distance' of numbers"),
        ({"schema": "seqprobe.report/1"}, "'seqprobe.report/1' instead of seqprobe.training/1"),
        ({"schema": "seqprobe.training/1"}, "at the top"),
    ],
)
def test_a_damaged_line_is_named(path: Path, line: Any, said: str) -> None:
    with pytest.raises(FileError) as raised:
        Story.read(written(path, HEADER, line, entry(20)))
    assert str(raised.value).startswith("run.jsonl: line 2 is damaged, or no part of a training's")
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no story of a training; got an empty file; expected a file that seqprobe.training"),
        (b"\n\n", "no story of a training; got no session"),
        (b"\xff\xfe\n\x00\n", "line 1 is damaged"),
        (b'{"step": 1, "check": "x"}\n', "line 1 is damaged, or no part of a training's story; go"),
    ],
)
def test_what_is_no_story(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"^run\.jsonl: ") as raised:
        Story.read(path)
    assert said in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere\.jsonl: no such file\. Check the path\."):
        Story.read(tmp_path / "nowhere.jsonl")
    with pytest.raises(FileError, match="the file cannot be opened; got Is a directory"):
        Story.read(tmp_path)


class TestFollowing:
    def test_reads_what_came_since(self, path: Path) -> None:
        reading = Reading(written(path, HEADER, entry(0)))
        assert reading.go_on()
        assert not reading.go_on()
        with path.open("a") as file:
            file.write(json.dumps(entry(10))[:9])
        reading.go_on()
        assert len(Story.so_far(reading).lines) == 1
        with path.open("a") as file:
            file.write(json.dumps(entry(10))[9:] + "\n" + json.dumps(entry(20)) + "\n")
        reading.go_on()
        assert [line.step for line in Story.so_far(reading).lines] == [0, 10, 20]

    def test_a_file_that_begins_anew(self, path: Path) -> None:
        reading = Reading(written(path, HEADER, entry(0), entry(10)))
        reading.go_on()
        written(path, HEADER, entry(5))
        reading.go_on()
        assert [line.step for line in Story.so_far(reading).lines] == [5]

    def test_a_torn_line_waits_for_what_comes_next(self, path: Path) -> None:
        reading = Reading(written(path, HEADER, entry(0), '{"torn'))
        reading.go_on()
        assert len(Story.so_far(reading).lines) == 1
        with path.open("a") as file:
            file.write(json.dumps(entry(10)) + "\n")
        with pytest.raises(FileError, match="line 3 is damaged"):
            reading.go_on()
