"""Examples with labels, for classifiers, taggers and regressors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from seqprobe.errors import FileError
from seqprobe.sequences import arrays
from seqprobe.sequences.corpus import Corpus, bytes_of, corpus_of
from seqprobe.sequences.labelled_rows import Row, damaged, rows_of
from seqprobe.sequences.series import Series, series_of

MANY, TENTH = 1000, 10
MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class LabelledText:
    """Texts that stand for a class each, or for a number.

    Attributes:
        targets: class numbers (int64) or real numbers (float64) of the texts.
        classes: names of the classes; empty for real numbers.
        corpus: the texts without their labels.
    """

    targets: Shaped[Tensor, " examples"]
    classes: tuple[str, ...]
    corpus: Corpus

    @property
    def texts(self) -> Sequence[bytes]:
        """Those that are measured on: every tenth of a thousand or more, else all."""
        return self.corpus.held_out_texts

    @property
    def source(self) -> str:
        """How many texts of which file, and which classes where their names were sorted."""
        part = "all" if self.corpus.whole else "held out"
        named = not all(name.isdecimal() for name in self.classes)
        classes = f"; classes in sorted order: {', '.join(self.classes)}" if named else ""
        return f"{self.corpus.source}, {len(self.texts):,} labelled texts ({part}){classes}"


@dataclass(frozen=True)
class LabelledSeries:
    """Real-valued sequences, each with a target, one per step, or several.

    Attributes:
        series: those that are measured on: every tenth of a thousand or more, else all.
        targets: (N), (N, time) or (N, outputs); integers (int64) are classes.
    """

    series: Series
    targets: Shaped[Tensor, "examples ..."]

    @property
    def inputs(self) -> Float[Tensor, "examples time features"]:
        return self.series.values

    @property
    def predicts(self) -> Literal["values", "classes"] | None:
        """What models of these targets say; None where it may be the next inputs.

        That is where each target is the next value of a feature, or comes after the series.
        """
        if not self.targets.is_floating_point():
            return "classes"
        if self.targets.shape[1:] != self.inputs.shape[1:2]:
            return None
        same = self.targets[:, :-1, None] == self.inputs[:, 1:]
        return None if same.flatten(0, 1).all(0).any() else "values"


def read_labelled(path: Path) -> LabelledText | LabelledSeries | None:
    """Read a table or JSON lines with `text` and `label`, or `.npz` with `inputs` and `targets`.

    Labels that are all integers are numbers of classes, other numbers are regressed on, and
    names are classes in sorted order. None: the file is not of this kind.

    Raises:
        FileError: the file is damaged; the line is named.
    """
    if not path.is_file():
        return None
    if path.suffix == ".npz":
        return _series(bytes_of(path), path.name)
    rows = rows_of(path)
    return None if rows is None else _text(path.name, list(rows))


def _measured(examples: int) -> range:
    """Which examples are measured on."""
    return range(TENTH - 1, examples, TENTH) if examples >= MANY else range(examples)


def _text(where: str, rows: Sequence[Row]) -> LabelledText:
    empty = next((row for row in rows if not row.text or not row.label), None)
    if empty or not rows:
        raise damaged(where, empty.line if empty else 2, "no text, or no label")
    targets, classes = _targets(where, rows)
    measured = _measured(len(rows))
    texts = tuple(row.text.encode() for row in rows)
    chosen = b"".join(texts[number] for number in measured)
    others = b"".join(text for number, text in enumerate(texts) if number not in measured)
    corpus = corpus_of(where, others, chosen, whole=not others, separate=texts, measured=measured)
    return LabelledText(targets[list(measured)], classes, corpus)


def _targets(where: str, rows: Sequence[Row]) -> tuple[Tensor, tuple[str, ...]]:
    numbers = [_number(row.label) for row in rows]
    if None in numbers:
        names = sorted({row.label for row in rows})
        numbered = {name: number for number, name in enumerate(names)}
        return torch.tensor([numbered[row.label] for row in rows]), tuple(names)
    values = torch.tensor(numbers, dtype=torch.float64)
    integers = all(row.label.lstrip("-").isdecimal() for row in rows)
    possible = (values >= 0) & (values < MOST_CLASSES) if integers else values.isfinite()
    if not possible.all():
        wrong = rows[int(possible.int().argmin())]
        raise damaged(where, wrong.line, f"label {wrong.label}")
    if not integers:
        return values, ()
    return values.long(), tuple(str(number) for number in range(int(values.max()) + 1))


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None


def _series(content: bytes, where: str) -> LabelledSeries:
    inputs, targets = _arrays(content, where)
    if inputs.ndim != 3 or targets.ndim not in {1, 2} or len(inputs) != len(targets):
        raise _no_arrays(where, f"inputs {inputs.shape} and targets {targets.shape}")
    if targets.dtype.kind not in "fiub" or not np.isfinite(targets).all():
        raise _no_arrays(where, f"targets of {targets.dtype}, or not finite")
    chosen = list(_measured(len(inputs)))
    kind = np.float64 if targets.dtype.kind == "f" else np.int64
    series = series_of(where, content, inputs[chosen], whole=len(chosen) == len(inputs))
    return LabelledSeries(series, torch.from_numpy(targets[chosen].astype(kind)))


def _arrays(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    found = arrays.loaded(content)
    if not isinstance(found, dict):
        raise _no_arrays(where, arrays.DAMAGED)
    if not {"inputs", "targets"} <= found.keys():
        raise _no_arrays(where, f"arrays {', '.join(found) or '(none)'}")
    return found["inputs"], found["targets"]


def _no_arrays(where: str, got: str) -> FileError:
    return FileError(
        "no labelled series",
        where=where,
        got=got,
        expected="arrays `inputs` (N, time, features) and `targets` (N), (N, time) or (N, outputs)",
        do="Write it with numpy.savez(path, inputs=..., targets=...).",
    )
