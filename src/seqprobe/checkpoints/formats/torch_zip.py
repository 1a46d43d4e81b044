"""The zip archives of torch.save: a pickle, and one stored member for each storage."""

import io
import mmap
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, cast

from seqprobe.checkpoints.pickles import bounds, inert
from seqprobe.checkpoints.pickles.opaque import shown
from seqprobe.checkpoints.pickles.storages import stored
from seqprobe.checkpoints.tensors import Span
from seqprobe.errors import FileError

MEMBERS = 200_000
_LOCAL_HEADER = 30


def read(path: Path) -> Any:
    """The tree in `data.pkl`, its tensors as TensorSpecs.

    Raises:
        FileError: damaged, or not written by torch.save.
    """
    return Archive.open(path).pickle()


@dataclass(frozen=True)
class Archive:
    """An open archive: the members below its one top folder, which torch names after the file."""

    path: Path
    members: Mapping[str, zipfile.ZipInfo]
    end: int

    @classmethod
    def open(
        cls, path: Path, *, markers: tuple[str, ...] = ("data.pkl",), part: Span | None = None
    ) -> "Archive":
        """Read and check the directory of the archive, and nothing else.

        Args:
            path: the file.
            markers: members of which every such archive has one, in its top folder.
            part: of the file, if the archive lies inside of something else.

        Raises:
            FileError: damaged, or not an archive of torch.save.
        """
        try:
            with _up_to_its_end(path, part) as whole, zipfile.ZipFile(whole) as file:
                infos, end = file.infolist(), file.start_dir
        except Exception:  # a damaged directory can make the reader fail in many ways
            raise FileError(
                "the file is cut off or damaged: its central directory cannot be read",
                where=path.name,
                got=f"{path.stat().st_size:,} bytes",
                do="Copy it again.",
            ) from None
        _check(path, infos, part.start if part else 0, end)
        folder = _folder(path, infos, markers)
        return cls(
            path,
            {
                info.filename.removeprefix(folder): info
                for info in infos
                if info.filename.startswith(folder)
            },
            end,
        )

    def member(self, name: str) -> Span:
        """Where the bytes of a stored member lie.

        Raises:
            FileError: there is none, or it is compressed.
        """
        info = self._info(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise FileError(
                "the numbers in the archive are compressed",
                where=self.path.name,
                got=f"member {shown(name)}",
                do="Repack it without compression: unzip it, then `zip -0 -r` the folder.",
            )
        return self._span(info)

    def read(self, name: str, most: int = bounds.PICKLE_BYTES) -> bytes:
        """The content of a small member, unpacked if need be; `most` counts the bytes.

        Raises:
            FileError: there is none, or it is larger.
        """
        info = self._info(name)
        packed = self._span(info)
        if max(info.file_size, packed.bytes) <= most:
            with self.path.open("rb") as file:
                file.seek(packed.start)
                content = _unpacked(file.read(packed.bytes), info, most)
            if len(content) == info.file_size:
                return content
        raise FileError(
            "a member of the archive is too large or damaged",
            where=self.path.name,
            got=f"{info.file_size:,} bytes of {shown(name)}, packed into {packed.bytes:,}",
            expected=f"at most {most:,} bytes",
            do="Save it again with torch.save.",
        )

    def pickle(self, name: str = "data.pkl", folder: str = "data") -> Any:
        """The tree of a pickle whose storages are members of `folder`.

        Raises:
            FileError: damaged, or larger than a checkpoint needs.
        """
        self._check_byte_order()
        reference = partial(stored, find=cache(partial(self._storage, folder)))
        return inert.load(io.BytesIO(self.read(name)), self.path.name, reference)

    def _check_byte_order(self) -> None:
        if "byteorder" in self.members and self.read("byteorder", 16) != b"little":
            raise FileError(
                "its numbers are not little-endian",
                where=self.path.name,
                do="Load it and save it again on an ordinary machine.",
            )

    def _storage(self, folder: str, key: str, size: int) -> Span:
        span = self.member(f"{folder}/{key}")
        if span.bytes < size:
            raise FileError(
                "a storage holds fewer numbers than its tensors need",
                where=self.path.name,
                got=f"{span.bytes:,} bytes in {folder}/{shown(key)}",
                expected=f"{size:,}",
                do="Copy it again.",
            )
        return span

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self.members:
            raise FileError(
                "a part of the archive is missing",
                where=self.path.name,
                expected=f"a member {shown(name)}",
                do="Copy it again.",
            )
        return self.members[name]

    def _span(self, info: zipfile.ZipInfo) -> Span:
        """The local header says how long its own name and padding are."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(_LOCAL_HEADER)
        start = info.header_offset + _LOCAL_HEADER
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        if header[:4] != b"PK\x03\x04" or start + info.compress_size > self.end:
            raise FileError(
                "the archive is damaged: a member is not where its directory says",
                where=self.path.name,
                got=shown(info.filename),
                do="Copy it again.",
            )
        return Span(self.path, start, info.compress_size)


@contextmanager
def _up_to_its_end(path: Path, part: Span | None) -> Iterator[IO[bytes]]:
    """A zip archive is found from its end; what stands before it does not matter."""
    with path.open("rb") as file:
        if part is None:
            yield file
        else:
            end = part.start + part.bytes
            with mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as beginning:
                yield cast(IO[bytes], beginning)


def _check(path: Path, infos: list[zipfile.ZipInfo], start: int, end: int) -> None:
    """No two members of one name or with common bytes, nothing encrypted."""
    names = {info.filename for info in infos}
    order = sorted(infos, key=lambda info: info.header_offset)
    nexts = [info.header_offset for info in order[1:]] + [end]
    overlap = any(
        info.header_offset + _LOCAL_HEADER + info.compress_size > following
        for info, following in zip(order, nexts, strict=True)
    )
    before = any(info.header_offset < start for info in infos)
    faults = {
        "members of one name": len(names) < len(infos),
        "members that share bytes": overlap or before,
        "encrypted members": any(info.flag_bits & 1 for info in infos),
        f"more than {MEMBERS:,} members": len(infos) > MEMBERS,
    }
    for fault in (name for name, found in faults.items() if found):
        raise FileError(
            "the archive was not written by torch.save",
            where=path.name,
            got=fault,
            do="Save it again with torch.save.",
        )


def _folder(path: Path, infos: list[zipfile.ZipInfo], markers: tuple[str, ...]) -> str:
    """Above a marker, with its slash."""
    places = [info.filename.rpartition("/") for info in infos]
    folders = {
        folder + slash for folder, slash, name in places if name in markers and "/" not in folder
    }
    if len(folders) == 1:
        return folders.pop()
    raise FileError(
        "a zip archive, but not one of torch.save",
        where=path.name,
        got=f"{len(infos)} members" + (f", the first {shown(infos[0].filename)}" if infos else ""),
        expected=f"one member {markers[0]}",
        do="Give the checkpoint itself.",
    )


def _unpacked(packed: bytes, info: zipfile.ZipInfo, most: int) -> bytes:
    if info.compress_type == zipfile.ZIP_STORED:
        return packed
    if info.compress_type == zipfile.ZIP_DEFLATED:
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most + 1)
        except zlib.error:
            pass
    return b""
