"""Every installed probe, by the entry-point group `seqprobe.probes`."""

import difflib
from collections.abc import Sequence
from importlib import metadata

from seqprobe.contracts import Probe
from seqprobe.errors import UsageError

STABLE_IDS = (
    "gradient-decay", "jacobian-spectrum", "path-length", "sequential-depth", "memory",
    "throughput", "locality", "position", "context", "order", "window", "carry-over",
    "bottleneck", "capacity", "attention", "weights",
)  # fmt: skip
TRAINING_IDS = ("loss-gradient", "states", "heads", "gradient-draw")
"""Made for training loops: part of a report only if somebody asks for them."""


def available() -> dict[str, type[Probe]]:
    """Probe classes by id: those of the package in the order of a report, then others by name."""
    own = (*STABLE_IDS, *TRAINING_IDS)

    def place(entry: metadata.EntryPoint) -> tuple[int, str]:
        return own.index(entry.name) if entry.name in own else len(own), entry.name

    entries = sorted(metadata.entry_points(group="seqprobe.probes"), key=place)
    return {entry.name: entry.load() for entry in entries}


def chosen(ids: Sequence[str] | None) -> list[type[Probe]]:
    """The probes with these ids, or all of a report."""
    known = available()
    for id in ids or ():
        if id not in known:
            raise unknown_probe(id, list(known))
    return [known[id] for id in ids or (id for id in known if id not in TRAINING_IDS)]


def unknown_probe(id: str, known: Sequence[str]) -> UsageError:
    """The error for a name that no probe has, with the nearest one that has."""
    near = difflib.get_close_matches(id, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "See `seqprobe probe list`."
    return UsageError(f"no probe {id!r}", expected=f"one of {', '.join(known)}", do=hint)
