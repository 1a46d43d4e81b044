"""Arguments of a template that a user may set, checked before they are used."""

from collections.abc import Collection

from seqprobe.errors import UsageError


def one_of(name: str, value: str, known: Collection[str]) -> str:
    """The value itself.

    Raises:
        UsageError: it is none of those known.
    """
    if value not in known:
        raise UsageError(
            f"unknown {name} {value!r}",
            expected=f"one of {', '.join(known)}",
            do=f"Choose one of them with --set {name}=...",
        )
    return value


def heads_of(name: str, heads: int, width: int) -> int:
    """The number of heads.

    Raises:
        UsageError: the width cannot be shared out among so many.
    """
    if heads < 1 or width % heads:
        raise UsageError(
            f"no attention of width {width} has {heads} heads",
            expected=f"a divisor of {width}",
            do=f"Choose one with --set {name}=...",
        )
    return heads
