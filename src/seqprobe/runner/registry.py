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


def available() -> dict[str, type[Probe]]:
    """Probe classes by id: those of the package in the order of a report, then others by name."""

    def place(entry: metadata.EntryPoint) -> tuple[int, str]:
        own = entry.name in STABLE_IDS
        return STABLE_IDS.index(entry.name) if own else len(STABLE_IDS), entry.name

    entries = sorted(metadata.entry_points(group="seqprobe.probes"), key=place)
    return {entry.name: entry.load() for entry in entries}


def chosen(ids: Sequence[str] | None) -> list[type[Probe]]:
    """The probes with these ids, or all."""
    known = available()
    for id in ids or ():
        if id not in known:
            raise unknown_probe(id, list(known))
    return [known[id] for id in ids or known]


def unknown_probe(id: str, known: Sequence[str]) -> UsageError:
    """The error for a name that no probe has, with the nearest one that has."""
    near = difflib.get_close_matches(id, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "See `seqprobe probe list`."
    return UsageError(f"no probe {id!r}", expected=f"one of {', '.join(known)}", do=hint)
