"""Part 5: gradient, storage and use over distance, of models trained on the same text."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from claims.kept import Kept, Part
from seqprobe import analyze
from seqprobe.contracts import Estimate

PROBES = ("gradient-decay", "bottleneck", "position", "context", "window")
METRICS = (
    "gradient-decay.half_life", "gradient-decay.horizon", "gradient-decay.at_distance",
    "bottleneck.total_bits", "bottleneck.horizon", "bottleneck.bits_at_distance",
    "position.horizon", "position.at_distance", "context.effective_length",
    "window.hard_limit", "window.extrapolation_ratio",
)  # fmt: skip


class Trained(NamedTuple):
    """What was measured of one checkpoint."""

    name: str
    card: Part
    length: int
    distance: int
    metrics: dict[str, Estimate]


def measured(folder: Path, kept: Kept, device: str, limit: int | None = None) -> None:
    """Every checkpoint of the folder whose card says that it was trained on the library's text."""
    for path, card in texts(folder):
        kept.part(f"trained: {path.stem}", partial(_measured, path, card, device, limit))


def texts(folder: Path) -> Iterator[tuple[Path, Part]]:
    """Checkpoints and cards; other tasks than text have other inputs, and are left out."""
    for path in sorted(folder.glob("*.json")):
        card = json.loads(path.read_text())
        if card["recipe"]["data"] == "stdlib" and path.with_suffix(".pt").exists():
            yield path.with_suffix(".pt"), card


def _measured(path: Path, card: Part, device: str, limit: int | None) -> Part:
    """As far back as sequences of the trained length show it."""
    length = card["architecture"]["context"]
    report = analyze(
        path, data="stdlib", probes=PROBES, length=length, distance=length // 2 - 1,
        limit=limit, device=device,
    )  # fmt: skip
    found = ((metric, report[metric.split(".")[0]].metrics) for metric in METRICS)
    metrics = {name: _written(of[name.split(".")[1]]) for name, of in found}
    return {"card": card, "length": length, "distance": report.distance, "metrics": metrics}


def _written(estimate: Estimate) -> Part:
    """What tables need of it."""
    names = ("value", "unit", "low", "high", "n", "exact", "lower_bound", "reason", "ceiling")
    return {name: getattr(estimate, name) for name in names}


def trained_of(parts: dict[str, Part]) -> list[Trained]:
    """All models that were measured."""
    return [
        Trained(
            name.removeprefix("trained: "),
            part["card"],
            part["length"],
            part["distance"],
            {metric: Estimate(**found) for metric, found in part["metrics"].items()},
        )
        for name, part in parts.items()
        if name.startswith("trained: ")
    ]
