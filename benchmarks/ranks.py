"""What one, two and three processes measure on the same models, and how long they take.

    python benchmarks/ranks.py > docs/ranks.md

Every probe runs on a recurrent and on an attention model. The difference of two numbers a and b is
|a - b| / max(1, |a|), and the table has the largest one of all values, interval ends, nulls and
ceilings of a probe's metrics, and of all cells of its tables.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

CHECKPOINTS = Path(str(files("seqprobe_data"))) / "checkpoints"
MODELS, PROCESSES = ("gru", "attention"), (1, 2, 3)
WORDS = ("--data", "stdlib", "--length", "64", "--distance", "20")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone")
CLOCK = "throughput"
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def analysed(model: str, processes: int, folder: Path) -> tuple[dict[str, Any], float]:
    """The report of all probes, and the seconds until it was written."""
    page = folder / f"{model}-{processes}.html"
    how = (*TORCHRUN, f"--nproc-per-node={processes}") if processes > 1 else ()
    command = [sys.executable, *how, "-m", "seqprobe", "analyze", str(CHECKPOINTS / f"{model}.pt")]
    started = time.monotonic()
    subprocess.run(
        [*command, *WORDS, "-o", str(page)], check=True, capture_output=True, env=ONE_THREAD
    )
    seconds = time.monotonic() - started
    return json.loads(page.with_suffix(".json").read_text()), seconds


def numbers(report: dict[str, Any], check: dict[str, Any]) -> Iterator[object]:
    """All that a check says, in a fixed order."""
    for name, metric in sorted(check["metrics"].items()):
        null = metric["null"] or {}
        yield from (name, metric["reason"], metric["n"], metric["ceiling"])
        yield from (metric[each] for each in ("value", "low", "high"))
        yield from (null.get(each) for each in ("value", "low", "high"))
    for table in report["tables"]:
        if table["id"] in check["tables"]:
            yield table["id"]
            for row in table["rows"]:
                yield from row


def difference(ours: object, theirs: object) -> float:
    """Infinite where one is a number and the other is none, or where words differ."""
    if ours == theirs:
        return 0.0
    if not isinstance(ours, float | int) or not isinstance(theirs, float | int):
        return math.inf
    return abs(ours - theirs) / max(1.0, abs(ours))


def largest(one: dict[str, Any], several: dict[str, Any], place: int) -> float:
    """The largest difference between what two reports say of one check."""
    said = (list(numbers(report, report["checks"][place])) for report in (one, several))
    return max((difference(a, b) for a, b in zip(*said, strict=True)), default=0.0)


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        found = {
            (model, processes): analysed(model, processes, Path(folder))
            for model in MODELS
            for processes in PROCESSES
        }
    print("# One process and several\n")
    print(f"Made by `python benchmarks/ranks.py` with torch {torch.__version__}, on")
    print(f"{os.cpu_count()} cores with one thread per process: `seqprobe analyze")
    print(f"{' '.join(WORDS)}` on bundled models. Largest difference of")
    print(f"all numbers of a probe, |a - b| / max(1, |a|); `{CLOCK}` reads a clock and is left")
    print("out.\n")
    more = [(model, processes) for model in MODELS for processes in PROCESSES[1:]]
    print("| probe | " + " | ".join(f"{m}, {p} processes" for m, p in more) + " |")
    print("|---" * (1 + len(more)) + "|")
    for place, check in enumerate(found[MODELS[0], 1][0]["checks"]):
        if check["id"] != CLOCK:
            cells = (largest(found[m, 1][0], found[m, p][0], place) for m, p in more)
            print(f"| `{check['id']}` | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |")
    print("\n| seconds | " + " | ".join(f"{p} process(es)" for p in PROCESSES) + " |")
    print("|---" * (1 + len(PROCESSES)) + "|")
    for model in MODELS:
        seconds = (found[model, processes][1] for processes in PROCESSES)
        print(f"| {model} | " + " | ".join(f"{each:.0f}" for each in seconds) + " |")


if __name__ == "__main__":
    main()
