"""Pieces of tables in Markdown."""

from collections.abc import Iterator

from seqprobe.contracts import Estimate
from seqprobe_reports import numbers


def header(*names: str) -> Iterator[str]:
    """The two lines above the rows."""
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"


def said(found: Estimate) -> str:
    """A number with its interval, or why there is none."""
    if found.value is None and found.low is found.high is None:
        return f"not estimable: {found.reason}"
    return numbers.estimate(found)


def size(count: float) -> str:
    """Bytes, in the unit that leaves few digits.

    >>> size(1000), size(2048), size(5 * 2**30)
    ('1000 B', '2 KiB', '5 GiB')
    """
    unit = "B"
    for larger in ("KiB", "MiB", "GiB"):
        if count < 1024:
            break
        count, unit = count / 1024, larger
    return f"{count:.0f} {unit}" if count >= 100 else f"{count:.3g} {unit}"
