"""The examples run as they are, and what they write is what they promise."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def run(tmp_path):
    """Run an example in an empty folder; gives its printed lines and its entries."""

    def run(name: str, log: str) -> tuple[str, list[dict]]:
        done = subprocess.run(
            [sys.executable, EXAMPLES / f"{name}.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        _header, *entries = map(json.loads, (tmp_path / log).read_text().splitlines())
        return done.stdout, entries

    return run


def values(entries: list[dict], check: str, metric: str) -> dict[int, float]:
    """A metric over steps."""
    return {
        entry["step"]: entry["metrics"][metric]["value"]
        for entry in entries
        if entry["check"] == check
    }


def test_a_plain_loop(run):
    _, entries = run("plain_loop", "recall.jsonl")
    stored = values(entries, "bottleneck", "bits_at_distance")
    assert list(stored) == [0, 100, 200]
    assert stored[200] > stored[0] + 1  # of three bits: it has learned to keep them
    gradient = values(entries, "gradient-decay", "at_distance")
    assert list(gradient) == list(range(0, 201, 20))
    assert gradient[200] > gradient[0]
    assert list(values(entries, "loss-gradient", "norm")) == list(range(0, 200, 10))


def test_a_forecaster_of_real_values(run):
    _, entries = run("forecaster", "forecast.jsonl")
    assert list(values(entries, "gradient-decay", "at_distance")) == [0, 20, 40, 60, 80, 100]
    norms = values(entries, "loss-gradient", "norm")
    assert list(norms) == [0, 20, 40, 60, 80]
    assert all(norm > 0 for norm in norms.values())


def test_lightning(run):
    _, entries = run("lightning_trainer", "lightning.jsonl")
    assert list(values(entries, "gradient-decay", "at_distance")) == [0, 10, 20, 30, 40]
    assert list(values(entries, "states", "gate_time_constant")) == [0, 10, 20, 30]


def test_the_trainer_of_transformers(run):
    _, entries = run("hugging_face_trainer", "trainer.jsonl")
    entropy = values(entries, "heads", "mean_entropy_ratio")
    assert list(entropy) == [0, 5, 10, 15]
    assert all(0 < ratio <= 1 for ratio in entropy.values())
    assert list(values(entries, "loss-gradient", "norm")) == [0, 5, 10, 15]
