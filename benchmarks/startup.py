"""How long `seqprobe --help` and `seqprobe inspect` take, against `python -c "import click"`.

Runs of all take turns, so that a busy machine slows all of them; medians and their ratios are
printed. The design asks for a ratio of at most 3 for the help, and for 0.3 s to inspect a file.
Usage: python benchmarks/startup.py [RUNS]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

SEQPROBE = str(Path(sys.executable).with_name("seqprobe"))
MODEL = Path(__file__).resolve().parents[1] / "data/seqprobe_data/checkpoints/attention.pt"
COMMANDS = {
    "import click": [sys.executable, "-c", "import click"],
    "seqprobe --help": [SEQPROBE, "--help"],
    "seqprobe inspect": [SEQPROBE, "inspect", str(MODEL)],
}


def seconds(command: list[str]) -> float:
    """Wall-clock time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main(runs: int) -> None:
    """Print medians and ratios."""
    rounds = [[seconds(command) for command in COMMANDS.values()] for _ in range(runs + 1)]
    medians = [statistics.median(times) for times in zip(*rounds[1:], strict=True)]
    for name, median in zip(COMMANDS, medians, strict=True):
        print(f"{name}: {median * 1e3:.0f} ms, {median / medians[0]:.2f} times the first")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 31)
