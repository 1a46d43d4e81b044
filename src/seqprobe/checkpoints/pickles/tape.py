"""The stream of a pickle: the arguments of its operations, of bounded length."""

import codecs
import pickletools
import warnings
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any

from seqprobe.checkpoints.pickles import bounds
from seqprobe.checkpoints.pickles.bounds import too_large
from seqprobe.checkpoints.pickles.opaque import Blob

LONG_BYTES = 200  # byte strings from here on are left in the file; torch's shortest storage has 251

Reader = Callable[[Any], Any]


class Tape:
    """Reads like a file; what is skipped does not count."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self.stream, self.used = stream, 0

    def read(self, count: int) -> bytes:
        if count > bounds.TEXT_BYTES:
            raise too_large("a text", bounds.TEXT_BYTES, "bytes")
        return self._counted(self.stream.read(count))

    def readline(self) -> bytes:
        line = self.stream.readline(bounds.TEXT_BYTES + 1)
        if len(line) > bounds.TEXT_BYTES:
            raise too_large("a text", bounds.TEXT_BYTES, "bytes")
        return self._counted(line)

    def skip(self, count: int) -> Blob:
        blob = Blob(self.stream.tell(), count)
        self.stream.seek(blob.start + count)
        return blob

    def _counted(self, data: bytes) -> bytes:
        self.used += len(data)
        if self.used > bounds.PICKLE_BYTES:
            raise too_large("the pickle", bounds.PICKLE_BYTES, "bytes")
        return data


def reader(opcode: pickletools.OpcodeInfo) -> Reader | None:
    """What reads its argument: pickletools, except for bytes, which may be a model's weights."""
    return _READERS.get(opcode.name) or (opcode.arg.reader if opcode.arg else None)


def _bytes_of(size: Callable[[Any], int]) -> Callable[[Tape], bytes | Blob]:
    def read(tape: Tape) -> bytes | Blob:
        count = size(tape)
        if count >= LONG_BYTES:
            return tape.skip(count)
        data = tape.read(count)
        if len(data) < count:
            raise ValueError("it ends too early")
        return data

    return read


def _string(tape: Any) -> str:
    """Of protocol 0, where Python 2 wrote any bytes; latin-1 as for its longer strings."""
    with warnings.catch_warnings(action="ignore"):  # about unknown escapes
        escaped = pickletools.read_stringnl(tape, decode=False)
        return codecs.escape_decode(escaped)[0].decode("latin-1")


_READERS: dict[str, Callable[[Any], Any]] = {
    "STRING": _string,
    "SHORT_BINBYTES": _bytes_of(pickletools.read_uint1),
    "BINBYTES": _bytes_of(pickletools.read_uint4),
    "BINBYTES8": _bytes_of(pickletools.read_uint8),
    "BYTEARRAY8": _bytes_of(pickletools.read_uint8),
}
