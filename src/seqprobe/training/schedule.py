"""How many updates lie between two measurements of each check."""

from collections.abc import Mapping, Sequence

from seqprobe.errors import UsageError

OFTEN = 100


def schedule(every: int | Mapping[str, int], ids: Sequence[str]) -> dict[str, int]:
    """By check; a mapping leaves those that it does not name at every 100 updates."""
    wanted = dict.fromkeys(ids, every) if isinstance(every, int) else dict(every)
    for id, updates in wanted.items():
        if id not in ids:
            raise UsageError(
                f"an interval for {id!r}, which is not among the probes",
                where="attach(every=...)",
                expected=f"one of {', '.join(ids)}",
            )
        if not isinstance(updates, int) or updates < 1:
            raise UsageError(
                "an interval that is no number of updates",
                where="attach(every=...)",
                got=f"{updates!r}",
                expected="an integer from 1 on",
            )
    return {id: wanted.get(id, OFTEN) for id in ids}
