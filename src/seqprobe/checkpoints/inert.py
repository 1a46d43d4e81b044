"""Read a pickle without running it: a stack machine that can neither import nor call anything."""

import codecs
import pickletools
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

from seqprobe.checkpoints.objects import MEANINGS
from seqprobe.checkpoints.opaque import Blob, Meanings, Name, Object, key, made, shown
from seqprobe.errors import FileError

PICKLE_BYTES = 64 * 2**20
TEXT_BYTES = 16 * 2**20
OPERATIONS = 10_000_000
CONTAINERS = 1_000_000
INTEGER_BITS = 256
LONG_BYTES = 200  # byte strings from here on are left in the file; torch's shortest storage has 251

_SIZED = (tuple, list, dict, set, frozenset)

Operation = Callable[["_Machine", Any], None]


def no_references(identifier: Any) -> Any:
    """For a pickle that stands alone."""
    raise FileError(
        "the pickle refers to data outside of it",
        got=shown(identifier) if isinstance(identifier, str) else "",
        do="Give the file as torch.save wrote it.",
    )


def load(
    stream: BinaryIO,
    where: str,
    persistent: Callable[[Any], Any] = no_references,
    meanings: Meanings = MEANINGS,
) -> Any:
    """The tree that a pickle describes; the stream is left behind its end.

    Lists, dictionaries, numbers and texts are themselves; classes and functions are `Name`s; what
    would be built from them is what `meanings` say, or else an `Object`. Byte strings from
    `LONG_BYTES` on are `Blob`s. The tree may hold cycles and shared parts: who walks it has to
    count.

    Args:
        stream: from where it stands.
        where: the file, for messages.
        persistent: what a reference to something outside the pickle stands for.
        meanings: of names, as functions of inert arguments.

    Raises:
        FileError: the pickle is damaged, or larger than any checkpoint needs.
    """
    try:
        return _Machine(_Tape(stream), persistent, meanings).run()
    except FileError as error:
        if error.said.startswith(where):
            raise
        raise FileError(error.said, where=where, do=error.do) from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise FileError(
            "the pickle in it cannot be read; it may be cut off or damaged",
            where=where,
            got=shown(error) or type(error).__name__,
            do="Copy it again.",
        ) from error


class _Tape:
    """A stream of bounded length; what is skipped does not count."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.start, self.used, self.skipped = stream, stream.tell(), 0, 0

    def read(self, count: int) -> bytes:
        if count > TEXT_BYTES:
            raise _too_large("a text", TEXT_BYTES, "bytes")
        data = self.stream.read(count)
        self.used += len(data)
        if self.used > PICKLE_BYTES:
            raise _too_large("the pickle", PICKLE_BYTES, "bytes")
        return data

    def readline(self) -> bytes:
        line = self.stream.readline(TEXT_BYTES + 1)
        self.used += len(line)
        if len(line) > TEXT_BYTES:
            raise _too_large("a text", TEXT_BYTES, "bytes")
        return line

    def skip(self, count: int) -> Blob:
        blob = Blob(self.start + self.used + self.skipped, count)
        self.skipped += count
        self.stream.seek(blob.start + count)
        return blob


def _too_large(what: str, most: int, unit: str) -> FileError:
    return FileError(
        f"{what} is larger than a checkpoint needs",
        expected=f"at most {most:,} {unit}",
        do="Save the state dict alone, with torch.save.",
    )


class _Machine:
    """Values on a stack, marks in it, and a memo of values to use again."""

    def __init__(self, tape: _Tape, persistent: Callable[[Any], Any], meanings: Meanings) -> None:
        self.tape, self.persistent, self.meanings = tape, persistent, meanings
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.containers = self.copied = 0

    def run(self) -> Any:
        for _ in range(OPERATIONS):
            code = self.tape.read(1)
            if code == b".":
                return self.stack.pop()
            if code not in _OPERATIONS:
                raise ValueError(f"no operation {code!r}" if code else "it ends too early")
            operate, argument = _OPERATIONS[code]
            operate(self, argument(self.tape) if argument else None)
        raise _too_large("the pickle", OPERATIONS, "operations")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def integer(self, value: int) -> None:
        if value.bit_length() > INTEGER_BITS:
            raise _too_large("an integer", INTEGER_BITS, "bits")
        self.push(value)

    def text(self, value: str) -> None:
        """Half characters cannot be printed or written; they become their escapes."""
        if not value.isascii():
            value = value.encode("utf-8", "backslashreplace").decode()
        self.push(value)

    def container(self, value: Any) -> None:
        self.containers += 1
        if self.containers > CONTAINERS:
            raise _too_large("the pickle", CONTAINERS, "objects")
        self.push(value)

    def protocol(self, number: int) -> None:
        if number > 5:
            raise ValueError(f"pickle protocol {number}")

    # marks and the memo

    def mark(self, _: None) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def since_mark(self, _: None = None) -> list[Any]:
        values, self.stack = self.stack, self.marked.pop()
        return values

    def pop_mark(self, _: None) -> None:
        self.since_mark()

    def pop(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[index])

    # containers

    def tuple_of(self, count: int) -> None:
        values = [self.stack.pop() for _ in range(count)]
        self.container(tuple(reversed(values)))

    def append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def appends(self, _: None) -> None:
        self._extend(self.since_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, set):
            target.update(map(key, values))
        else:
            (target.items if isinstance(target, Object) else target).extend(values)

    def set_item(self, _: None) -> None:
        value = self.stack.pop()
        self._enter([self.stack.pop(), value])

    def set_items(self, _: None) -> None:
        self._enter(self.since_mark())

    def _enter(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        entries = target.entries if isinstance(target, Object) else target
        if not isinstance(entries, dict):
            raise TypeError("an item is set in what is no dictionary")
        entries.update(_paired(pairs))

    # names, and what would be calls

    def stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is no text")
        self.push(Name(module, name))

    def call(self, _: None) -> None:
        args, callee = self.stack.pop(), self.stack.pop()
        self._made(callee, args if isinstance(args, tuple) else (args,))

    def call_with_names(self, _: None) -> None:
        named, args, callee = (self.stack.pop() for _ in range(3))
        self._made(callee, (*args, named) if named else args)

    def instance(self, name: str) -> None:
        self._made(Name(*name.split(" ", 1)), tuple(self.since_mark()))

    def object(self, _: None) -> None:
        callee, *args = self.since_mark()
        self._made(callee, tuple(args))

    def _made(self, callee: Any, args: tuple) -> None:
        """A meaning may copy what it is given, and a memo gives the same thing many times."""
        self.copied += sum(len(arg) for arg in args if isinstance(arg, str | bytes))
        self.copied += sum(8 * len(arg) for arg in (args, *args) if isinstance(arg, _SIZED))
        if self.copied > PICKLE_BYTES:
            raise _too_large("the pickle, with all that it repeats,", PICKLE_BYTES, "bytes")
        self.container(made(callee, args, self.meanings))

    def build(self, _: None) -> None:
        """Only an Object takes a state; attributes of an ordinary value have no meaning here."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Object):
            target.state = state

    def reference(self, identifier: Any) -> None:
        self.push(self.persistent(identifier))

    def no_buffer(self, _: None) -> None:
        raise FileError(
            "the pickle keeps its numbers in buffers outside of it",
            do="Save the state dict with torch.save.",
        )


def _paired(values: list[Any]) -> dict[Any, Any]:
    return {key(name): value for name, value in zip(values[::2], values[1::2], strict=True)}


def _bytes_of(size: Callable[[Any], int]) -> Callable[[_Tape], bytes | Blob]:
    def read(tape: _Tape) -> bytes | Blob:
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


def _nothing(_machine: _Machine, _argument: Any) -> None:
    """Frames only matter to those who read ahead."""


_ONE_BY_ONE: dict[str, Operation] = {
    "FRAME": _nothing,
    "READONLY_BUFFER": _nothing,
    "PROTO": _Machine.protocol,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.container([]),
    "EMPTY_DICT": lambda m, _: m.container({}),
    "EMPTY_SET": lambda m, _: m.container(set()),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "LIST": lambda m, _: m.container(m.since_mark()),
    "DICT": lambda m, _: m.container(_paired(m.since_mark())),
    "TUPLE": lambda m, _: m.container(tuple(m.since_mark())),
    "FROZENSET": lambda m, _: m.container(frozenset(map(key, m.since_mark()))),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": lambda m, name: m.push(Name(*name.split(" ", 1))),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "INST": _Machine.instance,
    "OBJ": _Machine.object,
    "BUILD": _Machine.build,
    "PERSID": _Machine.reference,
    "BINPERSID": lambda m, _: m.reference(m.stack.pop()),
    "NEXT_BUFFER": _Machine.no_buffer,
}
_IN_GROUPS: dict[str, Operation] = {
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4": _Machine.integer,
    "STRING BINSTRING SHORT_BINSTRING UNICODE": _Machine.text,
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8": _Machine.text,
    "FLOAT BINFLOAT BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8": _Machine.push,
    "PUT BINPUT LONG_BINPUT MEMOIZE": _Machine.put,
    "GET BINGET LONG_BINGET": _Machine.get,
    "EXT1 EXT2 EXT4": lambda m, number: m.push(Name("copyreg", f"extension {number}")),
}
_BY_NAME = _ONE_BY_ONE | {
    name: operate for names, operate in _IN_GROUPS.items() for name in names.split()
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "STRING": _string,
    "SHORT_BINBYTES": _bytes_of(pickletools.read_uint1),
    "BINBYTES": _bytes_of(pickletools.read_uint4),
    "BINBYTES8": _bytes_of(pickletools.read_uint8),
    "BYTEARRAY8": _bytes_of(pickletools.read_uint8),
}


def _reader(opcode: pickletools.OpcodeInfo) -> Callable[[Any], Any] | None:
    """Pickletools reads arguments, except for bytes, which may be all the weights of a model."""
    return _READERS.get(opcode.name) or (opcode.arg.reader if opcode.arg else None)


_OPERATIONS: dict[bytes, tuple[Operation, Callable[[Any], Any] | None]] = {
    opcode.code.encode("latin-1"): (_BY_NAME[opcode.name], _reader(opcode))
    for opcode in pickletools.opcodes
    if opcode.name != "STOP"
}
