"""The command line as a process of its own: start-up, records, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from seqprobe.report import Report, load_reports

Execute = Callable[..., "subprocess.CompletedProcess[str]"]
HEAVY = ("torch", "numpy", "pandas", "jinja2", "matplotlib", "seaborn", "pydantic", "scipy", "rich")
LISTED = f"""
import sys
from seqprobe_cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("loaded:", *[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
    raise
"""


@pytest.mark.parametrize("words", [["--help"], ["analyze", "--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr.strip() == "loaded:"


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_inspect_imports_nothing_heavy(json_too: list[str]) -> None:
    model = Path(str(files("seqprobe_data"))) / "checkpoints" / "gru.pt"
    words = ["inspect", str(model), *json_too]
    done = subprocess.run(
        [sys.executable, "-c", LISTED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr.strip() == "loaded:"
    assert "seqprobe train" in done.stdout


def test_a_whole_analysis(subprocess_run: Execute, tiny: Path, text: Path, folder: Path) -> None:
    """What is printed and written; no folder of the user's machine in it."""
    words = ("--length", "32", "--limit", "8", "--probe", "gradient-decay")
    done = subprocess_run("analyze", tiny, "--data", text, *words, "-o", folder / "out" / "r.html")
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
    assert done.stdout.splitlines()[-1] == str(folder / "out" / "r.html")
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["r.html", "r.json"]
    report = json.loads((folder / "out" / "r.json").read_text())
    assert report["command"] == [
        "seqprobe", "analyze", "gru.pt", "--data", "book.txt", *words, "-o", "r.html",
    ]  # fmt: skip
    for file in (folder / "out").iterdir():
        for place in (folder, tiny.parent, text.parent, Path.cwd(), Path.home()):
            assert str(place) not in file.read_text(), (file.name, place)


def test_errors_of_the_process(subprocess_run: Execute, folder: Path) -> None:
    done = subprocess_run("analyze", "nowhere.pt")
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr == "Error: nowhere.pt: no such checkpoint. Check the path.\n"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_who_reads_no_further_is_told_no_more(tiny: Path, words: tuple[str, ...]) -> None:
    """As in `seqprobe inspect FILE | head`: the exit code is that of a broken pipe."""
    command = [sys.executable, "-m", "seqprobe", "inspect", str(tiny), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 141


def test_ctrl_c_leaves_a_readable_report(tiny: Path, text: Path, folder: Path) -> None:
    """SIGINT during the run: what was seen is measured, the report says so, exit code 130."""
    words = ["--data", str(text), "--length", "64", "--limit", "9999", "--distance", "20"]
    words += ["--probe", "gradient-decay"]
    command = [sys.executable, "-m", "seqprobe", "analyze", str(tiny), *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200", "FORCE_COLOR": "1"},
    )
    assert process.stderr is not None
    shown = b""
    while b"gradient-decay" not in shown:  # the progress bar, after the first batch
        piece = process.stderr.read1(4096)  # type: ignore[attr-defined]
        assert piece, f"ended before it was interrupted: {shown.decode()}"
        shown += piece
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr.decode()
    assert b"Traceback" not in shown + stderr
    assert stdout.decode().splitlines()[-1] == "gru-report.html"
    assert stderr.decode().endswith("The same command with --resume goes on.\n")
    written = [folder / f"gru-report.{ending}" for ending in ("html", "json", "progress")]
    assert sorted(folder.iterdir()) == written
    report = load_reports("gru-report.json")
    assert isinstance(report, Report)
    assert "Interrupted: measured on the sequences seen until then." in report.warnings
    assert 0 < report.data.sequences < 9999
    assert "Interrupted" in (folder / "gru-report.html").read_text()
