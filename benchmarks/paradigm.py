"""The claims about recurrence and attention, held against measurement.

    python benchmarks/paradigm.py [--device auto] [--longest N] [--checkpoints FOLDER] [-o JSON]
    python benchmarks/paradigm.py page docs/paradigm.json > docs/paradigm.md

The first writes docs/paradigm.json, part by part; what is there already is not measured again, so
that a run that was cut short is taken up by the same command. One file is of one machine: for a GPU
give `-o docs/paradigm-gpu.json`. The second makes the page and the
chart beside the JSON from it alone. `claims/verdicts.py` has the claims and the rule of each,
`claims/costs.py` seconds and bytes over length, `claims/trained.py` what trained models make of
distance, `claims/small_data.py` what is learned from less text.

On two cores it takes about a quarter of an hour, at small size. On a GPU it was not run yet: it can
be stopped at any time, and the most important settings come first. `--parts` measures some of
costs, trained and small-data.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

import seqprobe_data
from claims import chart, costs, small_data, trained
from claims.costs import Setting
from claims.curves import costs_of
from claims.kept import Book, Kept
from claims.machine import machine
from claims.page import page
from seqprobe.models.device import device_named

DOCS = Path(__file__).resolve().parents[1] / "docs"
PARTS = ("costs", "trained", "small-data")
ON_GPU = (
    (1_000_000, "float16", 1),
    (1_000_000, "float32", 1),
    (20_000_000, "float16", 1),
    (1_000_000, "float16", 64),
    (1_000_000, "bfloat16", 1),
)
"""Parameters, precision, sequences. cuDNN's recurrences come in float16, not in bfloat16."""
ON_CPU = ((1_000_000, "float32", 1),)
LONGEST = {"cpu": 4096, "cuda": 65_536}
PATIENCE = {"cpu": 10.0, "cuda": 4.0}


def settings(device: torch.device, longest: int | None) -> Iterator[Setting]:
    """What is measured on this kind of device, the most important first."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    for parameters, precision, batch in ON_GPU if kind == "cuda" else ON_CPU:
        length, patience = longest or LONGEST[kind], PATIENCE[kind]
        yield Setting(parameters, precision, batch, length, patience, device)


def measure(words: list[str]) -> None:
    """Every part that is asked for and not there yet."""
    parser = argparse.ArgumentParser(description="Measure, and keep what was measured.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--longest", type=int)
    parser.add_argument("--checkpoints", type=Path, help="a folder of .pt with their cards")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("-o", "--output", type=Path, default=DOCS / "paradigm.json")
    asked = parser.parse_args(words)
    device = device_named(asked.device)
    command = " ".join(["python benchmarks/paradigm.py", *words])
    kept = Kept(asked.output, {**machine(device), "command": command})
    parts = asked.parts.split(",")
    if "costs" in parts:
        for setting in settings(device, asked.longest):
            costs.measured(setting, kept)
    if "trained" in parts:
        bundled = Path(next(iter(seqprobe_data.checkpoints()))[0]).parent
        trained.measured(asked.checkpoints or bundled, kept, str(device))
    if "small-data" in parts:
        size = small_data.FULL if device.type == "cuda" else small_data.SMALL
        small_data.measured(size, kept, asked.output.with_suffix(".trained"), device)


def show(path: Path) -> None:
    """The page, and its chart in a file beside the JSON."""
    book, picture = Book.read(path), path.with_suffix(".svg")
    for first in list(costs_of(book.parts))[:1]:
        chart.draw(first, picture)
    print(page(book, picture.name))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["page", path]:
            show(Path(path))
        case words:
            measure(words)
