"""What has been finished of a run, kept in a folder so that it can be taken up again."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqprobe.atomic import replacing
from seqprobe.errors import FileError, LostProcess, SeqProbeError, UsageError
from seqprobe.runner.cut import Cut
from seqprobe.runner.outcome import Outcome, Part
from seqprobe.runner.part_files import only_arrays, read_part, write_part

SCHEMA, MANIFEST = "seqprobe.progress/1", "manifest.json"
OWN = re.compile(r"\.?(manifest\.json|model-\d+-pass-\d+(\.json|-\d+-\d+\.npz))(\.\d+\.tmp)?")
ANEW = "Run without --resume to begin again."

Started = Mapping[str, str]


class Journal:
    """The folder of one run; without a folder nothing is kept.

    Every file in it is written whole or not at all. The manifest says with what the run was
    `started`, for each of its models: it is written first, and removed first.
    """

    def __init__(self, folder: Path | None = None, started: Sequence[Started] = ()) -> None:
        self.folder, self.started, self.begun = folder, started, False
        self.taken_up = False

    @classmethod
    def opened(cls, folder: Path | None, started: Sequence[Started], *, resume: bool) -> "Journal":
        """To be taken up where it stopped, if there is anything; else to be begun.

        Raises:
            FileError: the folder holds something else, or a file that cannot be read.
            UsageError: it is to be taken up, but was started with something else.
        """
        journal = cls(folder, started)
        if folder is not None and folder.exists():
            _refuse_foreign(folder)
            if resume and (manifest := folder / MANIFEST).exists():
                _refuse_different(manifest, started)
                journal.begun = journal.taken_up = True
        return journal

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Leave nothing of a run that began here and was refused: it would be refused again."""
        try:
            yield
        except SeqProbeError as error:
            if not self.taken_up and not isinstance(error, LostProcess):
                self.remove()
            raise

    def of_pass(self, model: int, index: int) -> "Pages":
        """What belongs to one pass over one model."""
        return Pages(self, f"model-{model}-pass-{index}")

    def begin(self) -> None:
        """Make room for this run, once there is something to keep."""
        if self.folder is not None and not self.begun:
            self.remove()
            _write(self.folder / MANIFEST, {"schema": SCHEMA, "started": self.started})
            self.begun = True

    def remove(self) -> None:
        """Remove the folder, when what it was for is done."""
        if self.folder is not None and self.folder.exists():
            (self.folder / MANIFEST).unlink(missing_ok=True)
            for file in [path for path in self.folder.iterdir() if OWN.fullmatch(path.name)]:
                file.unlink()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()


class Pages:
    """One pass: how it was cut, and what finished batches gave."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal, self._folder, self._name = journal, journal.folder, name

    def cut(self, by_memory: Callable[[], Cut]) -> Cut:
        """As when the run was started, so that batches are the same ones."""
        if self._folder is None:
            return by_memory()
        path = self._folder / f"{self._name}.json"
        if self._journal.begun and path.exists():
            return _read_cut(path)
        cut = by_memory()
        self._journal.begin()
        _write(path, cut._asdict())
        return cut

    def keep(self, part: Part) -> None:
        """Write down what a batch gave; evidence made of Python objects has to be seen again."""
        if self._folder is not None and only_arrays(part):
            first, stop = part.numbers.start, part.numbers.stop
            path = self._folder / f"{self._name}-{first}-{stop}.npz"
            with _writing(path) as temporary:
                write_part(temporary, part)

    def parts(self, outcomes: Sequence[Outcome], numbers: range) -> list[Part]:
        """What is kept of these sequences; `outcomes` are those of the pass, of any evidence."""
        if self._folder is None:
            return []
        found = []
        for path in self._folder.glob(f"{self._name}-*.npz"):
            first, stop = map(int, path.stem.split("-")[-2:])
            if first in numbers:
                with _trusted(path):
                    found.append(read_part(path, range(first, stop), outcomes))
        return sorted(found, key=lambda part: part.numbers.start)


def _refuse_foreign(folder: Path) -> None:
    foreign = (
        sorted(path.name for path in folder.iterdir() if not OWN.fullmatch(path.name))
        if folder.is_dir()
        else [folder.name]
    )
    if foreign:
        raise FileError(
            "is in the way: progress would be kept there",
            where=str(folder),
            got=foreign[0],
            expected="nothing, or a folder with the progress of a run",
            do="Move it away, or choose another -o.",
        )


def _refuse_different(manifest: Path, started: Sequence[Started]) -> None:
    """Batches of another run are no part of this one."""
    with _trusted(manifest):
        said = json.loads(manifest.read_text())
        schema, then = said["schema"], said["started"]
        if schema == SCHEMA:
            then = [{str(name): str(value) for name, value in each.items()} for each in then]
    if schema != SCHEMA:
        raise FileError(
            "was written by another version of SeqProbe",
            where=str(manifest),
            got=str(schema),
            expected=SCHEMA,
            do=f"Resume with that version. {ANEW}",
        )
    different = [f"{len(then)} models"] if len(then) != len(started) else []
    for was, now in zip(then, started, strict=False):
        names = (name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name))
        different += [_told(name, was.get(name, "")) for name in names]
    if different:
        raise UsageError(
            "the run that was cut short was another one",
            where=str(manifest.parent),
            got=f"a start with another {', '.join(dict.fromkeys(different))}",
            expected="the same model, data, settings and versions",
            do=f"Give the same command again. {ANEW}",
        )


def _told(name: str, value: str) -> str:
    return f"{name} ({value})" if len(value) <= 24 else name


def _read_cut(path: Path) -> Cut:
    with _trusted(path):
        cut = Cut(**json.loads(path.read_text()))
        if cut.size < 1 or cut.shares < 1:
            raise ValueError(cut)
    return cut


def _write(path: Path, content: Any) -> None:
    with _writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise FileError(
            "progress cannot be written",
            where=str(path),
            got=error.strerror or str(error),
            do="Make room there, and run again with --resume.",
        ) from error


@contextmanager
def _trusted(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise FileError(
            "this part of the progress is damaged, or no such part",
            where=str(path),
            got=f"{type(error).__name__}: {error}".split("\n")[0],
            do=f"Remove the file and resume without it. {ANEW}",
        ) from error
