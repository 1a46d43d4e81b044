"""How long `seqprobe --help` takes, as a multiple of `python -c "import click"`.

Runs of both take turns, so that a busy machine slows both; the ratio of medians is printed.
The design asks for at most 3. Usage: python benchmarks/startup.py [RUNS]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

BASE = [sys.executable, "-c", "import click"]
OURS = [str(Path(sys.executable).with_name("seqprobe")), "--help"]


def seconds(command: list[str]) -> float:
    """Wall-clock time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main(runs: int) -> None:
    """Print both medians and their ratio."""
    seconds(BASE), seconds(OURS)  # files into the cache
    pairs = [(seconds(BASE), seconds(OURS)) for _ in range(runs)]
    base, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"import click {base * 1e3:.0f} ms, seqprobe --help {ours * 1e3:.0f} ms")
    print(f"ratio {ours / base:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 31)
