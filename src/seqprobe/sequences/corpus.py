"""Text as bytes, split into train and held-out: the standard library, a file, or a folder."""

import hashlib
import re
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from seqprobe.errors import FileError
from seqprobe.sequences import integer_files
from seqprobe.sequences.generator import generator
from seqprobe.sequences.named_split import NamedSplit

HELD_OUT_SHARE = 0.1
PIECE = 16_384
_NOT_STDLIB = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
_CONTINUES = bytes(range(0x80, 0xC0))
_BEGUN_WORD = re.compile(rb"\S{0,100}\s")
_WORD_AT_END = re.compile(rb"\S{1,100}\Z")
MOST_OTHER_TEXT = 2_000_000


@dataclass(frozen=True)
class Corpus:
    """Bytes of text in two parts that share no file (or no position, if there is one file).

    Attributes:
        source: the name of the file or folder.
        sha256: of both parts.
        train: the part that is not measured on.
        held_out: the other one.
        whole: nothing is held out, for there is little; all of it is measured on.
        cut: the parts are one file, and the second begins within a word.
        integers: token numbers in binary, not text.
        vocabulary_files: whose words make the vocabulary; without any, those of both parts.
        separate: texts that are read each by itself, in the order of their file; the parts are
            their bytes, one after the other. Empty where a part is one text.
        measured: numbers of those that are held out.
    """

    source: str
    sha256: str
    train: UInt8[Tensor, " train_bytes"]
    held_out: UInt8[Tensor, " held_out_bytes"]
    whole: bool = False
    cut: bool = False
    integers: bool = False
    vocabulary_files: tuple[Path, ...] = ()
    separate: tuple[bytes, ...] = ()
    measured: range = range(0)

    @property
    def held_out_texts(self) -> Sequence[bytes]:
        """Each is read by itself; one that is cut, from its first whole word on, or its first whole
        character where words are endless.
        """
        if self.separate:
            return [self.separate[number] for number in self.measured]
        text = self.held_out.numpy().tobytes()
        if not self.cut:
            return [text]
        begun = _BEGUN_WORD.match(text)
        return [text[begun.end() :] if begun else text.lstrip(_CONTINUES)]

    @property
    def other_texts(self) -> Sequence[bytes]:
        """The end of the part that is not measured on, up to its last whole word."""
        if self.separate:
            return _last([t for n, t in enumerate(self.separate) if n not in self.measured])
        text = self.train[-MOST_OTHER_TEXT:].numpy().tobytes()
        begun = _BEGUN_WORD.match(text) if len(self.train) > MOST_OTHER_TEXT else None
        text = text[begun.end() :] if begun else text
        ended = _WORD_AT_END.search(text) if self.cut else None
        return [text[: ended.start()] if ended else text]

    def texts(self) -> Iterator[bytes]:
        """What a vocabulary is counted over, in this order."""
        if self.vocabulary_files:
            yield from map(bytes_of, self.vocabulary_files)
            return
        if self.separate:
            yield from self.separate
            return
        train, held_out = self.train.numpy().tobytes(), self.held_out.numpy().tobytes()
        yield from (train + held_out,) if self.cut else (train, held_out)


def _last(texts: Sequence[bytes]) -> Sequence[bytes]:
    """As many as are allowed."""
    sizes = accumulate(map(len, reversed(texts)))
    return texts[len(texts) - sum(size <= MOST_OTHER_TEXT for size in sizes) :]


def read_corpus(source: str) -> Corpus:
    """Read `stdlib` (the running interpreter's standard library), a text file, or a folder.

    Files named train and test (or valid, val) in one folder are the two parts; the vocabulary is
    that of them all. Other folders are split by file: a file is held out when the hash of its
    relative path falls in the lowest tenth, so that the split survives files being added. Hidden
    files and files with zero bytes are left out. Of a single file the last tenth is held out.
    """
    if source == "stdlib":
        folder = Path(sysconfig.get_paths()["stdlib"])
        return _read_folder(folder, "stdlib", "*.py", without=_NOT_STDLIB)
    path = Path(source)
    if not path.is_dir() and not path.is_file():
        raise FileError(
            "no such data",
            where=source,
            expected="a text file, a folder, `stdlib`, or `synthetic:iid`",
            do="Check the path, or see `seqprobe data list`.",
        )
    split = NamedSplit.around(path)
    if split and (held_out := split.held_out(path)):
        return _read_split(path, split, held_out)
    if path.is_dir():
        return _read_folder(path, path.resolve().name, "*")
    return _read_file(path, split)


def _read_split(path: Path, split: NamedSplit, held_out: Path) -> Corpus:
    """Of numbers, the training part is not read: it may be larger than the memory."""
    own = (path.resolve() if path.is_dir() else path).name
    name = f"{own} and {held_out.name}" if path == split.train else own
    integers = held_out.suffix == ".bin"
    train = b"" if integers else bytes_of(split.train)
    files = () if integers else tuple(split.files.values())
    return corpus_of(name, train, bytes_of(held_out), integers=integers, vocabulary_files=files)


def _read_folder(folder: Path, name: str, pattern: str, without: Collection[str] = ()) -> Corpus:
    parts: dict[bool, list[bytes]] = {True: [], False: []}
    for file in sorted(folder.rglob(pattern)):
        inside = file.relative_to(folder)
        hidden = any(part.startswith(".") or part in without for part in inside.parts)
        if hidden or not file.is_file():
            continue
        text = bytes_of(file)
        if b"\0" not in text:
            parts[_is_held_out(inside.as_posix())].append(text)
    return corpus_of(name, b"\n".join(parts[False]), b"\n".join(parts[True]))


def bytes_of(path: Path) -> bytes:
    """All of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(
            "the data cannot be read",
            where=str(path),
            got=error.strerror or type(error).__name__,
            do="Check its permissions.",
        ) from error


def _read_file(path: Path, split: NamedSplit | None) -> Corpus:
    text = bytes_of(path)
    if integer_files.are_integers(path, text):
        train, held_out = integer_files.parted(text, path.name, HELD_OUT_SHARE)
        return corpus_of(path.name, train, held_out, integers=True)
    cut = round(len(text) * (1 - HELD_OUT_SHARE))
    files = tuple(split.files.values()) if split else ()
    return corpus_of(path.name, text[:cut], text[cut:], cut=True, vocabulary_files=files)


def _is_held_out(relative_path: str) -> bool:
    return hashlib.sha256(relative_path.encode()).digest()[0] < 256 * HELD_OUT_SHARE


def corpus_of(name: str, train: bytes, held_out: bytes, **more: Any) -> Corpus:
    """A corpus of these parts; `more` as in `Corpus`."""
    if not held_out:
        raise FileError(
            "no text to read",
            where=name,
            got=f"{len(train)} bytes, none held out",
            expected="text, with at least one file or byte held out",
            do="Point --data at a larger text file or folder.",
        )
    digest = hashlib.sha256(train + b"\0" + held_out).hexdigest()
    return Corpus(name, digest, _tensor(train), _tensor(held_out), **more)


def _tensor(text: bytes) -> UInt8[Tensor, " bytes"]:
    return torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())


def share_of(corpus: Corpus, share: float) -> Corpus:
    """Less text to train on, the same to measure on: pieces from all over the training part.

    Pieces of 16 KiB stand one after the other in an order that is the same for all, so that each
    share begins with all smaller ones.
    """
    if share == 1:
        return corpus
    pieces = corpus.train.split(PIECE)
    order = torch.randperm(len(pieces), generator=generator(0, 0)).tolist()
    shuffled = torch.cat([pieces[place] for place in order])
    return replace(corpus, train=shuffled[: round(share * len(shuffled))])
