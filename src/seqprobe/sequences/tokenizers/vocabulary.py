"""A vocabulary that a file holds: its entries, and the tokenizer that they make."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.tokenizers.characters import Characters
from seqprobe.sequences.tokenizers.tokenizer import decoded
from seqprobe.sequences.tokenizers.words import Words

_SPECIAL = re.compile(r"<[^<>]+>|\[\w+\]|")
_PIECES = {"##": "word pieces", "Ġ": "byte pairs", "▁": "SentencePiece's pieces"}
_MANY = 0.1


def tokenizer_of(entries: Sequence[str | bytes], name: str) -> Characters | Words:
    """Characters, if all entries are, apart from special ones such as <unk>; else words.

    Raises:
        UsageError: the entries are pieces of words.
    """
    texts = tuple(
        e.decode("utf-8", "surrogateescape") if isinstance(e, bytes) else e for e in entries
    )
    _refuse_pieces(texts, name)
    if all(len(text) == 1 or _SPECIAL.fullmatch(text) for text in texts):
        return Characters(texts, name)
    return Words(texts, name)


def _refuse_pieces(texts: Sequence[str], name: str) -> None:
    for mark, kind in _PIECES.items():
        marked = [text for text in texts if text.startswith(mark) and text != mark]
        if len(marked) > _MANY * len(texts):
            raise UsageError(
                "these tokens are pieces of words, and a list does not say how to cut a text",
                where=name,
                got=f"{kind} such as {marked[0]!r}",
                expected="whole words, or characters",
                do="Give its tokenizer.json: --tokenizer tokenizer.json.",
            )


def entries_of(path: Path, text: bytes) -> tuple[str, ...]:
    """Of one token per line, or of a JSON mapping from tokens to numbers.

    Raises:
        FileError: it is neither, or the same token stands in it twice.
    """
    if path.suffix == ".json":
        return _mapped(path, _json(path, text))
    lines = decoded(text, path.name).removesuffix("\n").split("\n")
    counts = Counter(lines)
    for number, line in enumerate(lines, 1):
        if not line or counts[line] > 1:
            got = f"{line!r} {counts[line]} times" if line else "an empty line"
            raise _damaged(path, f"line {number}: {got}")
    return tuple(lines)


def _json(path: Path, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "no JSON") from error


def _mapped(path: Path, ids: Any) -> tuple[str, ...]:
    if not isinstance(ids, Mapping) or not all(type(token) is int for token in ids.values()):
        raise _damaged(path, "JSON of another kind")
    texts = {token: text for text, token in ids.items()}
    if sorted(texts) != list(range(len(ids))):
        raise _damaged(path, f"numbers other than 0 to {len(ids) - 1:,}, each once")
    return tuple(texts[token] for token in range(len(texts)))


def _damaged(path: Path, got: str) -> FileError:
    return FileError(
        "not a vocabulary",
        where=path.name,
        got=got,
        expected="one token per line, each once, or JSON that maps tokens to 0, 1, 2, ..",
        do="Write it as JSON where tokens contain line ends, or see --tokenizer in --help.",
    )
