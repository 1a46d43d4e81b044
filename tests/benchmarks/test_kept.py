"""A run that is cut short is taken up again, and nothing is measured twice."""

import json

import pytest
import torch

import seqprobe
from claims import costs, small_data, trained
from claims.costs import ROUNDS, Setting, Timed
from claims.curves import costs_of
from claims.kept import Book, Kept
from seqprobe.errors import UsageError
from seqprobe.reference import zoo

CPU, HERE = torch.device("cpu"), {"hardware": "a CPU", "command": ""}
SETTING = Setting(4000, "float32", 1, 128, 1.0, CPU, kinds=("gru", "attention"))


@pytest.fixture(autouse=True)
def uncounted(monkeypatch):
    """Work is counted in another file of tests."""
    monkeypatch.setattr(costs, "work", lambda *_: {"flops": None, "touched": None})


@pytest.fixture
def timed(monkeypatch):
    """A clock that says what each point costs, and stops after some of them."""
    left = [10_000]

    def seconds(self, way, length):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return 2.0 if (self.kind, way, length) == ("gru", "training", 128) else 1e-3 * length

    monkeypatch.setattr(Timed, "seconds", seconds)
    return left


def test_rounds_go_on_where_they_stopped(timed, tmp_path):
    path, points = tmp_path / "kept.json", 15
    timed[0] = 2 + points + 2 * points + 5  # a slow one twice, two rounds, then some
    with pytest.raises(KeyboardInterrupt):
        costs.measured(SETTING, Kept(path, {**HERE, "command": "first"}))
    assert len(Book.read(path).parts) == 3
    timed[0] = 10_000
    costs.measured(SETTING, Kept(path, {**HERE, "command": "second"}))
    assert 10_000 - timed[0] == points + (ROUNDS - 2) * points  # one round to warm up
    book = Book.read(path)
    assert [run["command"] for run in book.runs] == ["first", "second"]
    (found,) = costs_of(book.parts)
    assert found.fits["left_out"] == {"gru/training": "one takes 2 s at 128 tokens, more than 1 s"}
    assert found.curve("gru", "forward").medians.tolist() == [0.064, 0.128]
    assert found.curve("gru", "training") is None
    timed[0] = 1
    costs.measured(SETTING, Kept(path, {**HERE, "command": "third"}))  # nothing is left to do


def test_numbers_of_two_machines_are_kept_apart(tmp_path):
    path = tmp_path / "kept.json"
    Kept(path, HERE).part("a", dict)
    with pytest.raises(UsageError, match=r"^kept.json: what is kept was measured on another mach"):
        Kept(path, {**HERE, "hardware": "a GPU"})


def test_what_runs_out_of_memory_is_left_out(monkeypatch, tmp_path):
    def seconds(self, way, length):
        if length > 64 and way == "training":
            raise torch.OutOfMemoryError("no memory left")
        return 1.0

    monkeypatch.setattr(Timed, "seconds", seconds)
    costs.measured(SETTING, Kept(tmp_path / "kept.json", HERE))
    (found,) = costs_of(Book.read(tmp_path / "kept.json").parts)
    assert found.fits["left_out"]["attention/training"] == "at 128 tokens: out of memory"
    assert found.sentence("gru", 1, 1000).value == 1
    assert found._replace(fits={"points": []}).sentence("gru", 1, 1000).value is None


def test_little_data_is_trained_on_its_share(monkeypatch, tmp_path):
    monkeypatch.setattr(small_data, "KINDS", ("gru",))
    size = small_data.Size(parameters=4000, context=16, batch=2, steps=20, seeds=1)
    kept = Kept(tmp_path / "kept.json", HERE)
    small_data.measured(size, kept, tmp_path / "runs", CPU, shares=(0.01,))
    (part,) = kept.book.parts.values()
    card = part["card"]
    assert card["recipe"]["share"] == 0.01
    assert part["times_read"] == pytest.approx(20 * 2 * 16 / card["training_bytes"], abs=1e-3)
    assert not (tmp_path / "runs").exists()


def test_trained_models_are_measured_at_the_length_of_their_training(monkeypatch, tmp_path):
    reports = []

    def analyze(path, **asked):
        assert (path.name, asked["length"], asked["distance"]) == ("gru.pt", 32, 15)
        model, asked = zoo.leaky(0.5), {**asked, "data": None}
        reports.append(seqprobe.analyze(model, **asked))
        return reports[0]

    for name, data in (("gru", "stdlib"), ("recall", "recall")):
        card = {"recipe": {"kind": "gru", "data": data}, "architecture": {"context": 32}}
        (tmp_path / f"{name}.json").write_text(json.dumps(card))
        (tmp_path / f"{name}.pt").touch()
    monkeypatch.setattr(trained, "analyze", analyze)
    monkeypatch.setattr(trained, "PROBES", ("gradient-decay",))
    monkeypatch.setattr(trained, "METRICS", ("gradient-decay.horizon",))
    kept = Kept(tmp_path / "out" / "kept.json", HERE)
    trained.measured(tmp_path, kept, "cpu", limit=8)
    (model,) = trained.trained_of(Book.read(kept.path).parts)
    assert (model.name, model.length, model.distance) == ("gru", 32, 15)
    (found,), again = model.metrics.values(), reports[0]["gradient-decay"].metrics["horizon"]
    assert (found.value, found.low, found.high) == (again.value, again.low, again.high)
