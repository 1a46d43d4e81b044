"""`seqprobe watch` and `seqprobe report RUN.jsonl`, as processes where that matters."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
HEAVY = ("torch", "pandas", "jinja2", "matplotlib", "seaborn", "scipy")
TRAINING = {
    "name": "Net\x1b[2J", "family": "recurrent", "parameters": 1234567, "distance": 20, "start": 0,
    "held_out": "first batch", "every": {"gradient-decay": 10}, "seed": 0, "seqprobe": "0.1.0",
    "created": "2026-01-01",
}  # fmt: skip
HEADER = {"schema": "seqprobe.training/1", "training": TRAINING}
FINDING = {
    "rule": "gone", "check": "gradient-decay", "status": "attention", "statement": "[red]Gone.",
    "metric": "horizon", "evidence": {"value": 1.0, "unit": "steps"}, "threshold": "below 20",
    "source": "theory", "reference": "", "remedy": "Raise it.", "falsified_by": "",
}  # fmt: skip


def entry(step: int, horizon: float | None, **more: Any) -> dict[str, Any]:
    known = {"value": horizon} if horizon is not None else {"value": None, "reason": "no end"}
    estimate = {**known, "unit": "steps", "low": 2.5, "n": 8}
    return {"step": step, "check": "gradient-decay", "metrics": {"horizon": estimate}, **more}


def lines(*contents: dict[str, Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in contents)


@pytest.fixture
def story(folder: Path) -> Path:
    path = folder / "run.jsonl"
    missing = {"step": 0, "check": "heads", "why_not": "no attention was found"}
    rang = entry(10, 12.0, findings=[FINDING])
    path.write_text(lines(HEADER, missing, entry(0, 3.0), rang, entry(20, None)))
    return path


def test_is_shown_once_where_there_is_no_terminal(run: Run, story: Path) -> None:
    result = run("watch", story)
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "1,234,567 parameters: step 20; asked about 20 steps" in shown
    assert "▲ step 10, attention: [red]Gone. Raise it." in shown
    assert "Gradient over distance step 20" in shown
    assert "horizon at least 2.5 steps" in shown
    assert "▁█↑" in shown
    assert "heads no attention was found" in shown
    assert "\x1b" not in result.stdout


def test_what_cannot_be_watched(refuse: Run, folder: Path) -> None:
    assert "no such file. Check the path." in refuse(4, "watch", "nowhere.jsonl")
    (folder / "run.jsonl").write_text(lines(HEADER, {"step": 1}, entry(2, 1.0)))
    assert "run.jsonl: line 2 is damaged" in refuse(4, "watch", "run.jsonl")
    (folder / "run.jsonl").write_text("")
    assert "run.jsonl: no story of a training; got an empty file" in refuse(4, "watch", "run.jsonl")


def test_starts_without_anything_heavy(story: Path) -> None:
    code = f"""
import sys
from seqprobe_cli.main import main
try:
    main(["watch", {str(story)!r}])
except SystemExit:
    print("loaded:", *[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "loaded:"
    assert "horizon" in done.stdout


def test_follows_a_file_that_is_not_there_yet_until_ctrl_c(folder: Path) -> None:
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "seqprobe", "watch", "late.jsonl"],
        stdout=screen,
        stderr=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(screen)

    def until(text: str) -> None:
        seen = b""
        while text not in seen.decode(errors="replace"):
            seen += os.read(keyboard, 4096)

    until("waiting for late.jsonl")
    (folder / "late.jsonl").write_text(lines(HEADER, entry(0, 3.0)))
    until("3 steps (at least 2.5 steps)")
    with (folder / "late.jsonl").open("a") as file:
        file.write(lines(entry(10, 17.0)))
    until("17 steps (at least 2.5 steps)")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    os.close(keyboard)


class TestReport:
    def test_draws_the_page(self, run: Run, story: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("seqprobe_reports.story.render", lambda story: "<!doctype html>")
        result = run("report", "run.jsonl")
        assert (result.exit_code, result.stdout) == (0, "run.html\n")
        assert story.with_suffix(".html").read_text() == "<!doctype html>"

    def test_leaves_nothing_behind(self, refuse: Run, folder: Path) -> None:
        (folder / "run.jsonl").write_text("{}\n{}\n")
        assert "run.jsonl: line 1 is damaged" in refuse(4, "report", "run.jsonl")
