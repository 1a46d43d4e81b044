"""How large a page is, and how long it takes to draw: models of 2 and of 48 layers.

python benchmarks/page.py    # writes docs/page.md
"""

import tempfile
from pathlib import Path
from time import perf_counter

import torch

import seqprobe
from seqprobe.reference.language_models import build

DOC = Path(__file__).resolve().parents[1] / "docs" / "page.md"
LAYERS = (2, 48)


def main() -> None:
    """Analyse each, save it, and write down the sizes."""
    lines = [_row(layers) for layers in LAYERS]
    DOC.write_text(
        "# How large a report is\n\n"
        f"Made by `python benchmarks/page.py` with torch {torch.__version__}: attention of width 8 "
        "on independent symbols, sequences of 64 steps, all probes. Curves over distance are kept "
        "for at most eight sites; the table of heads grows with the heads.\n\n"
        "| layers | JSON, bytes | page, bytes | drawing and writing the page, seconds |\n"
        "|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )
    print(DOC.read_text())


def _row(layers: int) -> str:
    torch.manual_seed(0)
    model = build("attention", vocab_size=8, width=8, layers=layers, heads=2)
    report = seqprobe.analyze(model, data="synthetic:iid", length=64, limit=8, distance=16)
    with tempfile.TemporaryDirectory() as folder:
        json = report.save(Path(folder) / "report.json").stat().st_size
        started = perf_counter()
        page = report.save(Path(folder) / "report.html").stat().st_size
        seconds = perf_counter() - started
    return f"| {layers} | {json:,} | {page:,} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
