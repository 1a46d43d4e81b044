"""From the tree of a pickle to plain values: numbers, texts, lists and dictionaries."""

import struct
from typing import Any

from seqprobe.checkpoints.pickles import arrays
from seqprobe.checkpoints.pickles.opaque import Blob, Name, Object, label
from seqprobe.checkpoints.tensors import Pieces, TensorSpec
from seqprobe.errors import FileError

DEPTH = 100
VALUES = 2_000_000
_LONGEST_RANGE = 1000
_ATOMS = (bool, int, float, str, bytes)
_NAMESPACES = {"argparse.Namespace", "types.SimpleNamespace"}
_LETTERS = {
    "float64": "d", "float32": "f", "float16": "e", "bool": "?", "int64": "q", "int32": "i",
    "int16": "h", "int8": "b", "uint64": "Q", "uint32": "I", "uint16": "H", "uint8": "B",
}  # fmt: skip


class Plain:
    """Turns values of one file into plain ones, and counts them: a small file may repeat itself.

    Objects become the dictionary of their attributes, enumerations their value, and classes
    their name. What cannot be plain (a module, an optimizer, a tensor of more than one number)
    becomes its kind in angle brackets.
    """

    def __init__(self, where: str) -> None:
        self.where, self.count = where, 0
        self.open: list[int] = []
        self.known: dict[int, tuple[Any, int]] = {}

    def __call__(self, value: Any) -> Any:
        """The value in plain terms.

        Raises:
            FileError: it is nested too deep, or repeats itself too often.
        """
        if value is None or isinstance(value, _ATOMS):
            self._count(1)
            return value
        if id(value) in self.open:
            return "<itself>"
        if id(value) not in self.known:
            self.known[id(value)] = self._anew(value)
        else:
            self._count(self.known[id(value)][1])
        return self.known[id(value)][0]

    def key(self, name: Any) -> Any:
        """The same for a key of a dictionary, which stays short."""
        if name is None or isinstance(name, _ATOMS):
            return name
        return label(name)

    def _count(self, values: int) -> None:
        """Of values as they would be written down, each as often as it appears."""
        self.count += values
        if self.count > VALUES or len(self.open) > DEPTH:
            raise FileError(
                "what stands beside the weights is nested too deep or repeats itself too often",
                where=self.where,
                expected=f"at most {DEPTH} levels and {VALUES:,} values",
                do="Save the state dict alone.",
            )

    def _anew(self, value: Any) -> tuple[Any, int]:
        """With how many values it comes to."""
        before = self.count
        self.open.append(id(value))
        self._count(1)
        plain = self._plain(value)
        self.open.pop()
        return plain, self.count - before

    def _plain(self, value: Any) -> Any:
        match value:
            case dict():
                return self._dictionary(value)
            case list() | tuple() | set() | frozenset():
                return [self(item) for item in value]
            case Object():
                return self._object(value)
        return self._counted(_atom(value))

    def _dictionary(self, value: dict[Any, Any]) -> Any:
        if is_optimizer(value):
            return "<the state of an optimizer>"
        if value and all(isinstance(item, TensorSpec) and item.shape for item in value.values()):
            return f"<{len(value)} tensors>"
        return {self.key(name): self(item) for name, item in value.items()}

    def _object(self, thing: Object) -> Any:
        state = attributes(thing)
        if thing.kind.startswith("omegaconf."):
            return self(state.get("_content", state.get("_val")))
        if thing.kind.startswith("torch.optim.") or "_parameters" in state:
            return f"<{thing.kind}>"
        if thing.entries or state:
            return self._dictionary(thing.entries or state)
        return self(thing.items) if thing.items else self._counted(_stateless(thing))

    def _counted(self, made: Any) -> Any:
        self._count(_length(made))
        return made


def _length(made: Any) -> int:
    return sum(1 + _length(part) for part in made) if isinstance(made, list) else 0


def _atom(value: Any) -> Any:
    match value:
        case TensorSpec():
            return number(value)
        case Name():
            return value.kind
        case Blob():
            return f"<{value.bytes:,} bytes>"
        case range() if -_LONGEST_RANGE <= value.stop - value.start <= _LONGEST_RANGE:
            return list(value)
        case range() | slice() | complex():
            return str(value)
    return f"<{type(value).__name__}>"


def _stateless(thing: Object) -> Any:
    """An array of numpy, a member of an enumeration, an empty namespace."""
    if thing.kind == "numpy.core.multiarray._reconstruct":
        return _array(thing)
    if len(thing.args) == 1 and isinstance(thing.args[0], bool | int | float | str):
        return thing.args[0]
    return {} if thing.kind in _NAMESPACES else f"<{thing.kind}>"


def attributes(thing: Object) -> dict[Any, Any]:
    """Of an object, also of one with slots, whose state is a pair."""
    parts = thing.state if isinstance(thing.state, tuple) else (thing.state,)
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


def is_optimizer(value: Any) -> bool:
    """The state dict of an optimizer."""
    return isinstance(value, dict) and value.keys() >= {"state", "param_groups"}


def number(tensor: TensorSpec) -> float | int | bool | str:
    """The one number of a tensor, as a loss that was never turned into a float."""
    span = tensor.storage
    if tensor.numel != 1 or tensor.dtype not in _LETTERS or isinstance(span, Pieces):
        return f"<{tensor.dtype} tensor of {' x '.join(map(str, tensor.shape)) or 'one number'}>"
    code = f"<{_LETTERS[tensor.dtype]}"
    size = struct.calcsize(code)
    with span.path.open("rb") as file:
        file.seek(span.start + tensor.offset * size)
        content = file.read(size)
    value: float | int | bool = struct.unpack(code, content)[0]
    return value


def _array(thing: Object) -> Any:
    """A numpy array, whose state is (version, shape, dtype, columns first, bytes)."""
    try:
        _, shape, dtype, columns_first, content = thing.state
        return arrays.array(dtype, content, shape, columns_first=columns_first)
    except (TypeError, ValueError, struct.error):
        return "<numpy.ndarray>"
