"""A stack machine for pickles that can neither import nor call anything."""

from collections.abc import Callable
from typing import Any

from seqprobe.checkpoints.pickles import bounds
from seqprobe.checkpoints.pickles.bounds import too_large
from seqprobe.checkpoints.pickles.opaque import Meanings, Name, Object, key, made
from seqprobe.errors import FileError

_SIZED = (tuple, list, dict, set, frozenset)


class Machine:
    """Values on a stack, marks in it, and a memo of values to use again."""

    def __init__(self, persistent: Callable[[Any], Any], meanings: Meanings) -> None:
        self.persistent, self.meanings = persistent, meanings
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.containers = self.copied = 0

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def integer(self, value: int) -> None:
        if value.bit_length() > bounds.INTEGER_BITS:
            raise too_large("an integer", bounds.INTEGER_BITS, "bits")
        self.push(value)

    def text(self, value: str) -> None:
        """Half characters cannot be printed or written; they become their escapes."""
        if not value.isascii():
            value = value.encode("utf-8", "backslashreplace").decode()
        self.push(value)

    def container(self, value: Any) -> None:
        self.containers += 1
        if self.containers > bounds.OBJECTS:
            raise too_large("the pickle", bounds.OBJECTS, "objects")
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
        entries.update(paired(pairs))

    # names, and what would be calls

    def stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is no text")
        self.container(Name(module, name))

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
        if self.copied > bounds.PICKLE_BYTES:
            raise too_large("the pickle, with all that it repeats,", bounds.PICKLE_BYTES, "bytes")
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


def paired(values: list[Any]) -> dict[Any, Any]:
    """Keys and values as they follow each other."""
    return {key(name): value for name, value in zip(values[::2], values[1::2], strict=True)}
