"""Information between pairs of vectors on the tasks of benchmark-mi, against its own estimators.

    python -m venv .venv-bmi
    .venv-bmi/bin/pip install benchmark-mi 'jax<0.4.34' 'jaxlib<0.4.34'
    python benchmarks/pairs.py .venv-bmi/bin/python > docs/pairs.md

benchmark-mi (Beyond Normal: On the Evaluation of Mutual Information Estimators, Czyz et al., 2023)
needs Python before 3.13, an old jax and pandas 1, so that it lives in an environment of its own:
samples come from there, and its estimators run there, at the same time as ours run here.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqprobe.estimators.information import (
    PairBits,
    canonical_bits,
    contrastive_bits,
    ksg_bits,
    pair_bits,
)

SEED = 1000
TASKS = range(40)
TWELVE = (0, 2, 4, 7, 9, 13, 14, 17, 23, 27, 30, 33)
OURS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "pair_bits": pair_bits,
    "canonical_bits": canonical_bits,
    "ksg_bits": ksg_bits,
    "contrastive_bits": contrastive_bits,
}
PEERS = ("bmi CCA", "bmi KSG", "bmi InfoNCE")
COLUMNS = ("pair_bits", "its bound", "canonical_bits", "ksg_bits", "contrastive_bits", *PEERS)


class Row(NamedTuple):
    """One estimator on one task; the bound of `pair_bits` costs nothing more."""

    task: int
    estimator: str
    bits: float | None
    seconds: float | None


class Task(NamedTuple):
    """Samples with known information in bits."""

    x: Tensor
    y: Tensor
    bits: float
    name: str


def load(folder: Path, number: int) -> Task:
    """What the other interpreter wrote."""
    held = np.load(folder / f"{number}.npz")
    x, y = torch.from_numpy(held["x"]), torch.from_numpy(held["y"])
    return Task(x, y, float(held["bits"]), str(held["name"]))


def ours(number: int, task: Task) -> Iterator[Row]:
    """Every estimator of this project on one task; contrast, no rival, on the twelve only."""
    for name, estimator in OURS.items():
        if estimator is contrastive_bits and number not in TWELVE:
            continue
        began = time.process_time()
        found = estimator(task.x, task.y)
        seconds = time.process_time() - began
        if isinstance(found, PairBits):
            yield Row(number, "its bound", found.bound.value, None)
            found = found.estimate
        yield Row(number, name, getattr(found, "value", None), seconds)


def error(rows: list[Row], tasks: dict[int, Task], estimator: str, among: tuple) -> list[float]:
    """What an estimator says too much on each of some tasks; not estimable counts as nothing."""
    return [
        (row.bits or 0.0) - tasks[row.task].bits
        for row in rows
        if row.estimator == estimator and row.task in among
    ]


def line(cells: list[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(cells)} |"


def summary(rows: list[Row], tasks: dict[int, Task]) -> Iterator[str]:
    """One line per estimator."""
    yield line(["estimator", "MAE, 12", "MAE, all", "most above the truth", "CPU s per task"])
    yield "|---|---|---|---|---|"
    for name in COLUMNS:
        twelve, every = (error(rows, tasks, name, among) for among in (TWELVE, tuple(TASKS)))
        spent = [row.seconds for row in rows if row.estimator == name and row.seconds is not None]
        forty = f"{np.abs(every).mean():.3f}" if len(every) == len(tasks) else ""
        seconds = f"{np.mean(spent):.1f}" if spent else ""
        mean = f"{np.abs(twelve).mean():.3f}"
        yield line([name, mean, forty, f"{max(every):+.3f}", seconds])


def table(rows: list[Row], tasks: dict[int, Task]) -> Iterator[str]:
    """One line per task."""
    yield line(["task", "", "truth", *COLUMNS])
    yield line(["---"] * (3 + len(COLUMNS)))
    found = {(row.task, row.estimator): row.bits for row in rows}
    for number, task in tasks.items():
        bits = [found.get((number, name)) for name in COLUMNS]
        shown = ["" if value is None else f"{value:.3f}" for value in bits]
        yield line([str(number), task.name, f"{task.bits:.3f}", *shown])


def main(python: str) -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    other = [python, "-P", str(Path(__file__).with_name("pairs_peers.py"))]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*other, "sample", folder, str(SEED)], check=True)
        command = [*other, "estimate", folder, *map(str, TWELVE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peers:
            tasks = {number: load(Path(folder), number) for number in TASKS}
            rows = [row for number, task in tasks.items() for row in ours(number, task)]
            lines, _ = peers.communicate()
        if peers.returncode:
            raise SystemExit(f"the estimators of benchmark-mi ended with {peers.returncode}")
    rows += [Row(**json.loads(text)) for text in lines.splitlines()]
    print("# Information between pairs of vectors\n")
    print(f"Bits, from 10,000 samples of each task of benchmark-mi (seed {SEED}). Made by")
    print("`python benchmarks/pairs.py .venv-bmi/bin/python`, which says how to make that")
    print("environment. The twelve are tasks " + ", ".join(map(str, TWELVE)) + ".")
    print("Where an estimator refuses (too many dimensions for neighbours) it counts as 0 bits.\n")
    print("\n".join(summary(rows, tasks)))
    print()
    print("\n".join(table(rows, tasks)))


if __name__ == "__main__":
    main(sys.argv[1])
