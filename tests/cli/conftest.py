"""Tiny checkpoints, and the command line run inside and outside this process."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seqprobe.estimators import bootstrap
from seqprobe_cli.main import main

Run = Callable[..., Result]
SMALL = ("--length", "32", "--limit", "8")


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested elsewhere; here they only have to be there."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 199)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty folder of their own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "book.txt"
    path.write_text("the cat sat on the mat and then it ran home to eat. " * 60)
    return path


def _trained(folder: Path, kind: str, *more: str) -> Path:
    path = folder / f"{kind}.pt"
    settings = ["steps=2", "parameters=5000", "context=32", "batch=4", "distance=8"]
    words = [word for setting in settings for word in ("--set", setting)]
    done = CliRunner().invoke(main, ["train", kind, *words, "-o", str(path), *more])
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """A recurrent model of bytes."""
    return _trained(tmp_path_factory.mktemp("models"), "gru", "--data", str(text))


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of nine symbols with 16 learned positions."""
    return _trained(tmp_path_factory.mktemp("models"), "attention", "--data", "copy")


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory, tiny: Path, text: Path) -> Path:
    """A folder with reports of the same model: on symbols, the same again, and on text."""
    folder = tmp_path_factory.mktemp("reports")
    for name, data in {"a": "synthetic:iid", "b": "synthetic:iid", "text": str(text)}.items():
        asked = ("analyze", str(tiny), "--data", data, *SMALL, "--probe", "gradient-decay")
        done = CliRunner().invoke(main, [*asked, "-o", str(folder / f"{name}.html")])
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes seconds; here the JSON alone matters."""
    monkeypatch.setattr(
        "seqprobe_reports.page.render", lambda reports, steps=None: "<!doctype html>"
    )


@pytest.fixture
def run() -> Run:
    """Run a command in this process; whatever happens, it shows no traceback."""

    def invoke(*words: str | Path) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def refuse(run: Run, folder: Path) -> Callable[..., str]:
    """Run a command that has to fail: one line, this exit code, and nothing left behind."""

    def invoke(exit_code: int, *words: str | Path) -> str:
        before = sorted(folder.rglob("*"))
        result = run(*words)
        assert result.exit_code == exit_code, result.output
        assert result.stdout == ""
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        assert lines[-1].startswith("Error: "), result.stderr
        assert len(lines) == 1 or lines[0].startswith("Usage: "), result.stderr
        assert sorted(folder.rglob("*")) == before, "something was left behind"
        return lines[-1]

    return invoke


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"COLUMNS": "200"} | more


@pytest.fixture
def subprocess_run() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def execute(*words: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
        command: Sequence[str] = [sys.executable, "-m", "seqprobe", *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(**more)
        )

    return execute
