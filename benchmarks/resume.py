"""Runs that are killed at random moments and taken up again, against one that was not.

    python benchmarks/resume.py > docs/resume.md

All probes run on a small recurrent model, in small batches. Each run gets SIGKILL a random time
after its first progress, and then the same command with `--resume`. The reports are compared as
text, without the time of day, the command, seconds, and what reads a clock. Runs are forked, so
that no time goes into imports.
"""

import contextlib
import json
import multiprocessing
import os
import random
import tempfile
import time
from pathlib import Path
from unittest import mock

import torch

import seqprobe.analysis
import seqprobe_reports.page
from seqprobe.runner import rounds
from seqprobe.runner.registry import available
from seqprobe_cli.main import main as command_line

TRAINED = ("gru", "--data", "stdlib", "--set", "parameters=10000", "--set", "steps=20")
WORDS = (
    "--data",
    "stdlib",
    "--length",
    "32",
    "--distance",
    "8",
    "--limit",
    "10",
    "--effort",
    "linear",
)
BATCH, KILLS, CLOCK = 3, 20, "throughput"
FORK = multiprocessing.get_context("fork")
Forked = multiprocessing.context.ForkProcess


def command(*words: str) -> None:
    """The command line, in silence."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        command_line(words)


def started(page: Path, *more: str) -> Forked:
    """An analysis on its way; returns once there is progress."""
    model = str(page.with_name("gru.pt"))
    process = FORK.Process(target=command, args=("analyze", model, *WORDS, *more, "-o", str(page)))
    process.start()
    while process.is_alive() and not page.with_suffix(".progress").exists():
        time.sleep(0.01)
    return process


def finished(page: Path, *more: str) -> float:
    """The same until its end; returns the seconds since there was progress."""
    process, begin = started(page, *more), time.monotonic()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"exit code {process.exitcode}")
    return time.monotonic() - begin


def killed(page: Path, after: float) -> int:
    """A run that is killed so many seconds later; returns the number of batches that it leaves."""
    process = started(page)
    process.join(after)
    process.kill()
    process.join()
    return len(list(page.with_suffix(".progress").glob("model*.npz")))


def content(page: Path) -> str:
    """The report as text, without what differs between any two runs."""
    report = json.loads(page.with_suffix(".json").read_text())
    for name in ("created", "command", "timing"):
        del report[name]
    report["checks"] = [check for check in report["checks"] if check["id"] != CLOCK]
    for check in report["checks"]:
        del check["seconds"]
    for name, key in (("tables", "id"), ("figures", "table"), ("findings", "check")):
        report[name] = [each for each in report[name] if each[key] != CLOCK]
    return json.dumps(report, indent=1)


def main() -> None:
    """Print the table."""
    random.seed(0)
    torch.set_num_threads(1)
    _ = seqprobe.analysis, seqprobe_reports.page, available()
    small = mock.patch.object(rounds, "batch_size", return_value=BATCH)
    with small, tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "whole.html"
        trained = FORK.Process(
            target=command, args=("train", *TRAINED, "-o", str(page.with_name("gru.pt")))
        )
        trained.start()
        trained.join()
        whole = finished(page)
        expected = content(page)
        print("# Killed and resumed\n")
        print(f"Made by `python benchmarks/resume.py` with torch {torch.__version__}: `seqprobe")
        print(f"analyze gru.pt {' '.join(WORDS)}`, in batches of {BATCH},")
        print(
            f"{whole:.0f} s from the first progress to the report. SIGKILL a random time after the"
        )
        print("first progress, then the same command with `--resume`. The same: every byte of the")
        print(f"JSON but the time of day, the command, seconds, and `{CLOCK}`.\n")
        print("| killed after, s | batches kept | resumed in, s | report |")
        print("|---|---|---|---|")
        for _ in range(KILLS):
            page = Path(folder) / "killed.html"
            after = random.uniform(0, whole)
            kept = killed(page, after)
            seconds = finished(page, "--resume")
            same = "the same" if content(page) == expected else "**another one**"
            left = ", progress left behind" if page.with_suffix(".progress").exists() else ""
            print(f"| {after:.1f} | {kept} | {seconds:.0f} | {same}{left} |", flush=True)
            for path in Path(folder).glob("killed.*"):
                path.unlink()


if __name__ == "__main__":
    main()
