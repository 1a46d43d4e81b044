"""A split that the names of files tell: train.txt, valid.txt and test.txt in one folder."""

from dataclasses import dataclass
from pathlib import Path

ORDER = ("train", "valid", "val", "test")
HELD_OUT = ("test", "valid", "val")
SUFFIXES = (".txt", ".bin")


@dataclass(frozen=True)
class NamedSplit:
    """The files of such a folder by what they are for, in the order of `ORDER`."""

    files: dict[str, Path]

    @classmethod
    def around(cls, path: Path) -> "NamedSplit | None":
        """The split in a folder, or in the folder of a file and with its suffix."""
        folder, suffixes = (path, SUFFIXES) if path.is_dir() else (path.parent, (path.suffix,))
        for suffix in suffixes:
            files = {name: folder / f"{name}{suffix}" for name in ORDER}
            found = {name: file for name, file in files.items() if file.is_file()}
            if suffix in SUFFIXES and "train" in found and len(found) > 1:
                return cls(found)
        return None

    @property
    def train(self) -> Path:
        return self.files["train"]

    def held_out(self, path: Path) -> Path | None:
        """The file that the user named, unless it is for training; None if it is no part."""
        if path.is_dir() or path == self.train:
            return next(self.files[name] for name in HELD_OUT if name in self.files)
        return path if path in self.files.values() else None
