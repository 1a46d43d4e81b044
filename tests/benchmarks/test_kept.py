"""A run that is cut short is taken up again, and nothing is measured twice."""

import json

import pytest
import torch

from claims import costs, small_data, trained
from claims.costs import ROUNDS, Setting, Timed
from claims.curves import costs_of
from claims.kept import Book, Kept
from seqprobe.reference.recipe import recipe_from
from seqprobe.reference.training import train

CPU = torch.device("cpu")
SETTING = Setting(4000, "float32", 1, 128, 1.0, CPU, kinds=("gru", "attention"))


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
        costs.measured(SETTING, Kept(path, {"command": "first"}))
    assert len(Book.read(path).parts) == 3
    timed[0] = 10_000
    costs.measured(SETTING, Kept(path, {"command": "second"}))
    assert 10_000 - timed[0] == points + (ROUNDS - 2) * points  # one round to warm up
    book = Book.read(path)
    assert [run["command"] for run in book.runs] == ["first", "second"]
    (found,) = costs_of(book.parts)
    assert found.fits["left_out"] == {"gru/training": "one takes 2 s at 128 tokens, more than 1 s"}
    assert found.curve("gru", "forward").medians.tolist() == [0.064, 0.128]
    assert found.curve("gru", "training") is None
    timed[0] = 1
    costs.measured(SETTING, Kept(path, {"command": "third"}))  # nothing is left to do


def test_what_runs_out_of_memory_is_left_out(monkeypatch, tmp_path):
    def seconds(self, way, length):
        if length > 64 and way == "training":
            raise torch.OutOfMemoryError("no memory left")
        return 1.0

    monkeypatch.setattr(Timed, "seconds", seconds)
    costs.measured(SETTING, Kept(tmp_path / "kept.json", {}))
    (found,) = costs_of(Book.read(tmp_path / "kept.json").parts)
    assert found.fits["left_out"]["attention/training"] == "at 128 tokens: out of memory"


def test_little_data_is_trained_on_its_share(monkeypatch, tmp_path):
    monkeypatch.setattr(small_data, "KINDS", ("gru",))
    size = small_data.Size(parameters=4000, context=16, batch=2, steps=20, seeds=1)
    kept = Kept(tmp_path / "kept.json", {})
    small_data.measured(size, kept, tmp_path / "runs", CPU, shares=(0.01,))
    (part,) = kept.book.parts.values()
    card = part["card"]
    assert card["recipe"]["share"] == 0.01
    assert part["times_read"] == pytest.approx(20 * 2 * 16 / card["training_bytes"], abs=1e-3)
    assert not list((tmp_path / "runs").glob("*.pt"))


def test_trained_models_are_measured_at_the_length_of_their_training(tmp_path):
    settings = {"parameters": 4000, "context": 32, "batch": 2, "steps": 1, "layers": 1}
    train(recipe_from("gru", settings), tmp_path / "gru.pt", CPU, lambda *_: None)
    other = {"recipe": {"data": "recall"}}
    (tmp_path / "recall.json").write_text(json.dumps(other))
    kept = Kept(tmp_path / "out" / "kept.json", {})
    trained.measured(tmp_path, kept, "cpu", limit=8)
    (model,) = trained.trained_of(Book.read(kept.path).parts)
    assert (model.name, model.length, model.distance) == ("gru", 32, 15)
    assert set(model.metrics) == set(trained.METRICS)
    assert model.metrics["bottleneck.bits_at_distance"].value is not None
