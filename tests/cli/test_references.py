"""Reference checkpoints with long context: trained by one command, and measured on their task."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import references
from seqprobe.reference import card, training
from seqprobe.reference.long_context import KINDS, SMALL, Settings, recipes
from seqprobe.reference.recipe import recipe_from
from seqprobe_data import checkpoints

TINY: Settings = {
    name: {**settings, "steps": 3, "batch": 2, "warmup": 1, "parameters": 4000}
    for name, settings in SMALL.items()
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "SEQUENCES", 8)
    monkeypatch.setattr(card, "PER_DISTANCE", 4)
    monkeypatch.setattr(training, "CHECKED", 4)
    monkeypatch.setattr(training, "width_for", lambda kind, parameters, **shape: 16)
    monkeypatch.setattr(references, "SMALL", TINY)


def trained(folder: Path, *words: str) -> None:
    references.main(["--small", "--device", "cpu", "-o", str(folder), *words])


def test_a_table_of_all_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, "--only", "copy")
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert head.count("|") == line.count("|") == rows[0].count("|")
    assert [row.split(" | ")[0] for row in rows] == [f"| {kind}" for kind in KINDS]
    facts = json.loads((tmp_path / "lstm-copy.json").read_text())
    assert f"| {facts['held_out_bits']:.3f} |" in rows[0]
    assert f"{3 * 2 * 64}" in rows[0], "tokens"
    accuracy = facts["held_out_by_distance"]["32"]["accuracy"]
    assert f"32: {accuracy:.0%}" in rows[0]


def test_nothing_is_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, "--only", "rnn-recall")
    first = capsys.readouterr().out
    written = (tmp_path / "rnn-recall.pt").read_bytes()
    trained(tmp_path, "--only", "rnn-recall")
    assert capsys.readouterr().out == first
    assert (tmp_path / "rnn-recall.pt").read_bytes() == written
    longer = {name: {**settings, "steps": 4} for name, settings in TINY.items()}
    monkeypatch.setattr(references, "SMALL", longer)
    trained(tmp_path, "--only", "rnn-recall")
    assert json.loads((tmp_path / "rnn-recall.json").read_text())["recipe"]["steps"] == 4


def test_the_way_into_the_package(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained there, a checkpoint is listed, looked at and verified like those bundled."""
    trained(tmp_path / "checkpoints", "--only", "gru-recall")
    monkeypatch.setattr("seqprobe_data.files", lambda package: tmp_path)
    ((path, facts),) = checkpoints()
    assert path.name == "gru-recall.pt"
    said = run("data", "list").stdout
    assert f"held out {facts['held_out_bits']} bits per answer; right: " in said
    assert f"{facts['command']}\n    {facts['hardware']}\n" in said
    words = facts["command"].split()
    assert words[:3] == ["seqprobe", "train", "gru"]
    given = dict(word.split("=") for word in words if "=" in word)
    typed = {k: v if k == "data" else float(v) if "." in v else int(v) for k, v in given.items()}
    assert recipe_from("gru", typed) == recipes(TINY)["gru-recall"]
    assert "--data synthetic:recall-1-32" in run("inspect", str(path)).stdout


def test_a_task_is_measured_on_itself(
    run: Callable[..., Any], folder: Path, plain_page: None
) -> None:
    """Train, look, and measure; the file says what it was trained on, and what it is not."""
    settings = ("steps=3", "parameters=4000", "shortest=4", "distance=30", "batch=4")
    words = [word for setting in settings for word in ("--set", setting)]
    assert run("train", "gru", "--data", "recall", *words).exit_code == 0
    line = run("inspect", "gru.pt").stdout.splitlines()[-1]
    assert line == "analyze: seqprobe analyze gru.pt --data synthetic:recall-4-30"
    measure = ("analyze", "gru.pt", "--limit", "4", "--probe", "position")
    result = run(*measure, "--probe", "order", "-o", "own.html")
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "own.json").read_text())
    assert report["data"]["source"] == "recall over 4 to 30 steps"
    assert report["data"]["tokens"] == 4 * 31, "of the length of the task"
    assert report["model"]["plan"]["predicts"] == "classes"
    assert {step["status"] for step in report["model"]["verification"]} == {"passed"}
    order, position = sorted(report["checks"], key=lambda check: str(check["id"]))
    assert order["status"] == "not applicable"
    assert "trained to say something else than the next token" in order["headline"]
    assert position["metrics"]
    assert run(*measure, "--data", "synthetic:iid", "-o", "iid.html").exit_code == 0
    report = json.loads((folder / "iid.json").read_text())
    assert report["data"]["source"].startswith("5 independent"), "what is asked for is fed"
    assert report["data"]["tokens"] == 4 * 256
