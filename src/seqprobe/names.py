"""Text of a file, on a page or in a terminal."""

from collections import Counter
from collections.abc import Iterable


def printable(text: str) -> str:
    r"""On one line, with a mark in place of what cannot be printed.

    >>> printable("a\n b\x00")
    'a b\ufffd'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def distinct(names: Iterable[str]) -> list[str]:
    """Names that can be printed, those that occur more than once with numbers.

    >>> distinct(["a", "b", "a"])
    ['a (1)', 'b', 'a (2)']
    """
    names = [printable(name) for name in names]
    total, seen = Counter(names), Counter[str]()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return numbered
