"""`torchrun` on `analyze`: the report of one process; and what is left when one of them is lost."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from seqprobe.runner import torchrun as torchrun_module
from seqprobe.runner.ranks import Ranks

Run = Callable[..., Any]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
PROBES = ("gradient-decay", "memory", "position", "carry-over")
WORDS = ("--data", "synthetic:iid", "--length", "32", "--limit", "5", "--distance", "4")
SCRIPT = """
import os, signal
from seqprobe.runner import journal
from seqprobe_cli.main import main

write = journal.write_part

def dying(path, part):
    if os.environ["RANK"] == "1" and "pass-2" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, part)

journal.write_part = dying
main()
"""


def torchrun(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *TORCHRUN, *map(str, words)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def numbers(path: Path) -> Iterator[tuple[str, float]]:
    """Every number that is measured, under its name."""
    for check in json.loads(path.read_text())["checks"]:
        for name, metric in check["metrics"].items():
            for end in ("value", "low", "high", "n"):
                if metric[end] is not None:
                    yield f"{check['id']}.{name}.{end}", metric[end]


@pytest.fixture
def asked(tiny: Path) -> list[str]:
    probes = [word for probe in PROBES for word in ("--probe", probe)]
    return ["analyze", str(tiny), *WORDS, *probes]


@pytest.fixture
def one(run: Run, asked: list[str], folder: Path, plain_page: None) -> dict[str, float]:
    """What one process measures."""
    assert run(*asked, "-o", "one.html").exit_code == 0
    return dict(numbers(folder / "one.json"))


def test_two_processes_say_once_what_one_says(
    asked: list[str], one: dict[str, float], folder: Path
) -> None:
    done = torchrun("-m", "seqprobe", *asked, "-o", "two.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "two.html"
    assert [done.stdout.count(f"  {probe} ") for probe in PROBES] == [1] * len(PROBES)
    assert dict(numbers(folder / "two.json")) == pytest.approx(one, rel=1e-6, abs=1e-6)
    assert sorted(path.stem for path in folder.iterdir()) == ["one", "one", "two", "two"]


def test_a_lost_process_leaves_what_was_measured(
    asked: list[str], one: dict[str, float], folder: Path, run: Run
) -> None:
    """Killed in the last pass: the others are in the report, and --resume does the last one."""
    (folder / "dying.py").write_text(SCRIPT)
    done = torchrun("dying.py", *asked, "-o", "two.html")
    assert done.returncode != 0
    lost = "rank 1 was lost; got no sign of life: measured on the sequences seen until then."
    assert f"{lost} The same command with --resume goes on.\n" in done.stderr
    report = json.loads((folder / "two.json").read_text())
    assert lost in report["warnings"]
    statuses = {check["id"]: check["status"] for check in report["checks"]}
    assert "not run" not in (statuses["position"], statuses["carry-over"])
    measured = dict(numbers(folder / "two.json"))
    for name in ("position.at_distance.value", "position.at_distance.n"):
        assert measured[name] == pytest.approx(one[name], rel=1e-6)
    assert run(*asked, "--resume", "-o", "two.html").exit_code == 0
    assert dict(numbers(folder / "two.json")) == pytest.approx(one, rel=1e-6, abs=1e-6)
    assert not (folder / "two.progress").exists()


class Second(Ranks):
    """One of two, the other of which is there."""

    rank, size, speaks = 1, 2, False


def test_an_error_is_told_by_one(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    for speaks in (False, True):
        monkeypatch.setattr(Second, "speaks", speaks)
        monkeypatch.setattr(torchrun_module, "joined", lambda: nullcontext(Second()))
        done = run("analyze", "nowhere.pt")
        assert done.exit_code == 4
        assert ("nowhere.pt: no such checkpoint" in done.output) == speaks
