"""Text of a file, on a page or in a terminal."""


def printable(text: str) -> str:
    r"""On one line, with a mark in place of what cannot be printed.

    >>> printable("a\n b\x00")
    'a b\ufffd'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
