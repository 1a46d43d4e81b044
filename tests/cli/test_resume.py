"""`--resume`: killed at any batch, or while writing one, a run goes on to the same report."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqprobe.reference.zoo import memoryless
from seqprobe.runner import part_files, rounds
from seqprobe.runner.journal import Pages

Run = Callable[..., Any]
WORDS = ("--data", "synthetic:iid", "--length", "32", "--limit", "5", "--distance", "4")
PROBES = ("--probe", "gradient-decay", "--probe", "position", "--probe", "carry-over")
KILLED = """
import os, signal, sys
from seqprobe.runner import journal, rounds
from seqprobe_cli.main import main

after, halfway = int(sys.argv.pop(1)), sys.argv.pop(1) == "halfway"
write, written = journal.write_part, []

def dying(path, part):
    if len(written) == after:
        if halfway:
            write(path, part)
            os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(path)
    write(path, part)

journal.write_part = dying
rounds.batch_size = lambda *_, **__: 2
main()
"""


def said(path: Path) -> dict[str, Any]:
    """The report without times, and without the command."""
    report: dict[str, Any] = json.loads(path.read_text())
    for check in report["checks"]:
        del check["seconds"]
    return {k: v for k, v in report.items() if k not in ("created", "command", "timing")}


def metrics(folder: Path) -> list[Any]:
    """Of the first check of every model that was compared."""
    reports = json.loads((folder / "r.json").read_text())["reports"]
    return [report["checks"][0]["metrics"] for report in reports]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, plain_page: None) -> None:
    """Batches of two sequences."""
    monkeypatch.setattr(rounds, "batch_size", lambda *_, **__: 2)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """The batches that are shown to probes from now on."""
    numbers: list[range] = []
    keep = Pages.keep

    def noted(self: Pages, part: Any) -> None:
        numbers.append(part.numbers)
        keep(self, part)

    monkeypatch.setattr(Pages, "keep", noted)
    return numbers


@pytest.mark.parametrize(("after", "halfway"), [(0, ""), (4, "halfway")])
def test_killed_and_resumed(
    run: Run, tiny: Path, folder: Path, shown: list[range], after: int, halfway: str
) -> None:
    """The bytes that a whole run gives; what was finished is not done again."""
    words = ("analyze", str(tiny), *WORDS, *PROBES)
    assert run(*words, "-o", "whole.html").exit_code == 0
    every = list(shown)
    script = [sys.executable, "-c", KILLED, str(after), halfway or "at once"]
    dead = subprocess.run([*script, *words, "-o", "r.html"], capture_output=True, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    kept = sorted(path.name for path in (folder / "r.progress").glob("*.npz"))
    assert len(kept) == after
    assert not (folder / "r.html").exists()
    shown.clear()
    done = run(*words, "--resume", "-o", "r.html")
    assert done.exit_code == 0, done.output
    assert len(shown) == len(every) - after
    assert said(folder / "r.json") == said(folder / "whole.json")
    assert not (folder / "r.progress").exists()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, run: Run, tiny: Path, folder: Path) -> Path:
    """The progress of a run that the user stopped after three batches."""
    from seqprobe.runner import journal

    written: list[Path] = []

    def stop(path: Path, part: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        part_files.write_part(path, part)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_part", stop)
        done = run("analyze", tiny, *WORDS, *PROBES, "-o", "r.html")
    assert done.exit_code == 130
    assert "Interrupted: measured on the sequences seen until then." in done.stdout
    assert done.stderr.strip().endswith("The same command with --resume goes on.")
    return folder / "r.progress"


def test_interrupted_and_resumed(
    run: Run, tiny: Path, folder: Path, stopped: Path, shown: list[range]
) -> None:
    assert len(list(stopped.glob("*.npz"))) == 3
    words = ("analyze", tiny, *WORDS, *PROBES)
    assert run(*words, "--resume", "-o", "r.html").exit_code == 0
    again = len(shown)
    assert run(*words, "-o", "whole.html").exit_code == 0
    assert said(folder / "r.json") == said(folder / "whole.json")
    assert again == len(shown) - again - 3
    assert not stopped.exists()


def test_another_run_is_no_part_of_this_one(run: Run, tiny: Path, stopped: Path) -> None:
    """Refused before anything is measured, and nothing is lost by that."""
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    for more, name in (
        (("--seed", "1"), r"data, probes and their versions, seed \(0\)"),
        (("--limit", "4"), r"limit \(5\), probes and their versions"),
        (("--probe", "weights"), "probes"),
        (("--dtype", "float64"), r"dtype \('float32'\), parameters of the model"),
    ):
        done = run("analyze", tiny, *WORDS, *PROBES, *more, "--resume", "-o", "r.html")
        assert done.exit_code == 2, done.output
        assert "the run that was cut short was another one" in done.stderr
        assert re.search(f"another .*{name}", done.stderr), done.stderr
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before


def test_a_damaged_batch_is_named(run: Run, tiny: Path, folder: Path, stopped: Path) -> None:
    words = ("analyze", tiny, *WORDS, *PROBES, "-o", "r.html")
    damaged = sorted(stopped.glob("*.npz"))[1]
    damaged.write_bytes(b"garbage")
    done = run(*words, "--resume")
    assert done.exit_code == 4
    assert damaged.name in done.stderr
    damaged.unlink()
    assert run(*words, "--resume").exit_code == 0


def test_without_resume_it_begins_again(
    run: Run, tiny: Path, stopped: Path, shown: list[range]
) -> None:
    assert run("analyze", tiny, *WORDS, "--probe", "position", "-o", "r.html").exit_code == 0
    assert shown == [range(0, 2), range(2, 4), range(4, 5)]
    assert not stopped.exists()


def test_nothing_to_resume(run: Run, tiny: Path) -> None:
    done = run("analyze", tiny, *WORDS, "--probe", "weights", "--resume", "-o", "r.html")
    assert done.exit_code == 0
    assert done.stderr == "Nothing to resume in r.progress: a new start.\n"


def test_a_folder_of_the_users_is_left_alone(run: Run, tiny: Path, folder: Path) -> None:
    (folder / "r.progress").mkdir()
    (folder / "r.progress" / "thesis.tex").write_text("years of work")
    for more in ((), ("--resume",)):
        done = run("analyze", tiny, *WORDS, "--probe", "weights", "-o", "r.html", *more)
        assert done.exit_code == 4
        assert "thesis.tex" in done.stderr
    assert (folder / "r.progress" / "thesis.tex").read_text() == "years of work"


def test_several_models(
    run: Run, tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, shown: list[range]
) -> None:
    """Killed in the second one, the first one is not measured again."""
    words = ("compare", tiny, tiny, *WORDS, "--probe", "position", "-o", "r.html")
    assert run(*words).exit_code == 0
    whole = metrics(folder)
    keep, seen = Pages.keep, list[Any]()

    def failing(self: Pages, part: Any) -> None:
        if len(seen) == 4:
            raise RuntimeError("the disk is gone")
        seen.append(part)
        keep(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(Pages, "keep", failing)
        assert run(*words).exit_code == 70
    shown.clear()
    assert run(*words, "--resume").exit_code == 0
    assert len(shown) == 2
    assert metrics(folder) == whole


def test_reports_side_by_side_leave_progress_alone(run: Run, reports: Path, folder: Path) -> None:
    (folder / "r.progress").mkdir()
    (folder / "r.progress" / "manifest.json").touch()
    done = run("compare", reports / "a.json", reports / "b.json", "-o", "r.html")
    assert done.exit_code == 0, done.output
    assert (folder / "r.progress" / "manifest.json").exists()


def test_the_library_keeps_and_takes_up(tmp_path: Path, shown: list[range]) -> None:
    """Nothing is written without a folder; with one it is the caller's to remove."""
    import seqprobe

    asked: dict[str, Any] = {"data": "synthetic:iid", "length": 32, "limit": 4, "distance": 4}
    asked |= {"probes": ("position",)}
    model = memoryless()
    whole = seqprobe.analyze(model, **asked)
    assert list(tmp_path.iterdir()) == []
    shown.clear()
    first = seqprobe.analyze(model, journal=tmp_path / "kept", **asked)
    assert len(shown) == 2
    again = seqprobe.analyze(model, journal=tmp_path / "kept", resume=True, **asked)
    assert len(shown) == 2
    assert whole.checks[0].metrics == first.checks[0].metrics == again.checks[0].metrics
