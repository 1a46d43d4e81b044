"""Read a pickle without running it."""

import pickletools
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any

from seqprobe.checkpoints.pickles import bounds
from seqprobe.checkpoints.pickles.bounds import too_large
from seqprobe.checkpoints.pickles.machine import Machine, paired
from seqprobe.checkpoints.pickles.objects import MEANINGS
from seqprobe.checkpoints.pickles.opaque import Meanings, Name, key, located, shown
from seqprobe.checkpoints.pickles.tape import Reader, Tape, reader
from seqprobe.errors import FileError

Operation = Callable[[Machine, Any], None]


def no_references(identifier: Any) -> Any:
    """For a pickle that stands alone."""
    raise FileError(
        "the pickle refers to data outside of it",
        got=shown(identifier) if isinstance(identifier, str) else "",
        do="Give the file as torch.save wrote it.",
    )


def load(
    stream: BufferedIOBase,
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
        return _run(Machine(persistent, meanings), Tape(stream))
    except FileError as error:
        raise located(error, where) from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise FileError(
            "the pickle in it cannot be read; it may be cut off or damaged",
            where=where,
            got=shown(error) or type(error).__name__,
            do="Copy it again.",
        ) from error


def _run(machine: Machine, tape: Tape) -> Any:
    read = tape.stream.read
    for _ in range(bounds.OPERATIONS):
        code = read(1)
        if code == b".":
            return machine.stack.pop()
        if code not in _OPERATIONS:
            raise ValueError(f"no operation {code!r}" if code else "it ends too early")
        operate, argument = _OPERATIONS[code]
        operate(machine, argument(tape) if argument else None)
    raise too_large("the pickle", bounds.OPERATIONS, "operations")


def _nothing(_machine: Machine, _argument: Any) -> None:
    """Frames only matter to those who read ahead."""


_ONE_BY_ONE: dict[str, Operation] = {
    "FRAME": _nothing,
    "READONLY_BUFFER": _nothing,
    "PROTO": Machine.protocol,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": Machine.mark,
    "POP": Machine.pop,
    "POP_MARK": Machine.pop_mark,
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.container([]),
    "EMPTY_DICT": lambda m, _: m.container({}),
    "EMPTY_SET": lambda m, _: m.container(set()),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "LIST": lambda m, _: m.container(m.since_mark()),
    "DICT": lambda m, _: m.container(paired(m.since_mark())),
    "TUPLE": lambda m, _: m.container(tuple(m.since_mark())),
    "FROZENSET": lambda m, _: m.container(frozenset(map(key, m.since_mark()))),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "APPEND": Machine.append,
    "APPENDS": Machine.appends,
    "ADDITEMS": Machine.appends,
    "SETITEM": Machine.set_item,
    "SETITEMS": Machine.set_items,
    "GLOBAL": lambda m, name: m.container(Name(*name.split(" ", 1))),
    "STACK_GLOBAL": Machine.stack_global,
    "REDUCE": Machine.call,
    "NEWOBJ": Machine.call,
    "NEWOBJ_EX": Machine.call_with_names,
    "INST": Machine.instance,
    "OBJ": Machine.object,
    "BUILD": Machine.build,
    "PERSID": Machine.reference,
    "BINPERSID": lambda m, _: m.reference(m.stack.pop()),
    "NEXT_BUFFER": Machine.no_buffer,
}
_IN_GROUPS: dict[str, Operation] = {
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4": Machine.integer,
    "STRING BINSTRING SHORT_BINSTRING UNICODE": Machine.text,
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8": Machine.text,
    "FLOAT BINFLOAT BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8": Machine.push,
    "PUT BINPUT LONG_BINPUT MEMOIZE": Machine.put,
    "GET BINGET LONG_BINGET": Machine.get,
    "EXT1 EXT2 EXT4": lambda m, number: m.push(Name("copyreg", f"extension {number}")),
}
_BY_NAME = _ONE_BY_ONE | {
    name: operate for names, operate in _IN_GROUPS.items() for name in names.split()
}
_OPERATIONS: dict[bytes, tuple[Operation, Reader | None]] = {
    opcode.code.encode("latin-1"): (_BY_NAME[opcode.name], reader(opcode))
    for opcode in pickletools.opcodes
    if opcode.name != "STOP"
}
