"""Loops with several optimizers, compiled models, several processes."""

import subprocess
import sys
from pathlib import Path

import torch
from small_training import BATCH, Model, loss_of

import seqprobe
from seqprobe.probes.loss_gradient import LossGradient
from seqprobe.training.entry import Entry

HELPERS = Path(__file__).parent / "helpers"


def test_compiled_code_is_seen() -> None:
    script = HELPERS / "compiled_loop.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_several_optimizers_and_passes_in_turn() -> None:
    model, entries = Model(), list[Entry]()
    parts = [list(model.block.parameters()), list(model.head.parameters())]
    optimizers = [torch.optim.SGD(part, 0.1) for part in parts]
    with seqprobe.attach(model, [LossGradient()], every=2, loggers=[entries.append]) as session:
        for _ in range(4):
            for optimizer, sign in zip(optimizers, (1, -1), strict=True):
                model.zero_grad()
                (sign * loss_of(model)).backward()
                optimizer.step()
            session.step()
    assert [entry.step for entry in entries] == [0, 2]
    for entry in entries:
        assert entry.measurement
        assert entry.measurement.metrics["norm"].n == 2 * BATCH


def test_of_several_processes_the_first_one_watches(tmp_path: Path) -> None:
    script = HELPERS / "parallel_loop.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    both = zip(torch.load(tmp_path / "0"), torch.load(tmp_path / "1"), strict=True)
    for (first, weights), (second, others) in both:
        assert (first, second) == ([0, 2], [])
        assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
