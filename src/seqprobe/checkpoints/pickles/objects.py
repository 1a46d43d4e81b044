"""What well-known names mean: functions of inert arguments that give plain values.

They are looked up by name when a pickle would call something, and never handed to it: there is
nothing that a file could change.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

from seqprobe.checkpoints.pickles import arrays
from seqprobe.checkpoints.pickles.opaque import Meanings, Name, Object, key, made
from seqprobe.checkpoints.pickles.storages import spec
from seqprobe.checkpoints.tensors import BYTES, TensorSpec


def _dictionary(pairs: Any = ()) -> dict[Any, Any]:
    items: Iterable[Any] = pairs.items() if isinstance(pairs, dict) else pairs
    return {key(name): value for name, value in items}


def _list(values: Any = (), _most: Any = None) -> list[Any]:
    return list(_plain(values, list, tuple))


def _set(values: Any = ()) -> set[Any]:
    return set(map(key, _plain(values, list, tuple)))


def _frozenset(values: Any = ()) -> frozenset[Any]:
    return frozenset(_set(values))


def _range(*numbers: Any) -> range:
    return range(*numbers)


def _slice(start: Any, stop: Any, step: Any) -> slice:
    return slice(*(None if part is None else _plain(part, int) for part in (start, stop, step)))


def _complex(real: Any, imaginary: Any = 0.0) -> complex:
    return complex(_plain(real, int, float), _plain(imaginary, int, float))


def _encoded(text: Any = "", encoding: Any = "latin1") -> bytes:
    """Of protocol 2, where bytes are texts."""
    if encoding not in {"latin1", "latin-1"}:
        raise TypeError("another encoding")
    return bytes(_plain(text, bytes, str), *(["latin-1"] if isinstance(text, str) else []))


def _posix_path(*parts: str) -> str:
    return str(PurePosixPath(*parts))


def _windows_path(*parts: str) -> str:
    return str(PureWindowsPath(*parts))


def _size(values: Any = ()) -> tuple[Any, ...]:
    return tuple(_plain(values, list, tuple))


def _device(kind: Any, index: Any = None) -> str:
    return _plain(kind, str) if index is None else f"{kind}:{_plain(index, int)}"


def _attribute(of: Any, name: Any) -> Name:
    """Functions of classes are pickled so, as `torch.relu`."""
    return Name(_plain(of, Name).kind, _plain(name, str))


def _first(value: Any, *_: Any) -> Any:
    """Parameters and variables are the tensors in them."""
    return _plain(value, TensorSpec)


def _reconstructed(kind: Any, _base: Any, state: Any) -> Object:
    """An object of protocols 0 and 1, whose base may be a dictionary or list."""
    thing = Object(_plain(kind, Name).kind)
    if isinstance(state, dict):
        thing.entries.update(state)
    elif isinstance(state, list):
        thing.items.extend(state)
    return thing


def _new(kind: Any, *args: Any) -> Any:
    return made(_plain(kind, Name), args, MEANINGS)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> TensorSpec:
    return spec(storage, offset, shape, stride)


def _tensor_2(
    storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, bits: Any = None
) -> TensorSpec:
    if bits:
        raise TypeError("conjugated or negated when it is read")
    return spec(storage, offset, shape, stride)


def _tensor_3(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    _grad: Any,
    _hooks: Any,
    dtype: Any,
    bits: Any = None,
) -> TensorSpec:
    name = _plain(dtype, Name).name
    if bits or name not in BYTES:
        raise TypeError("of a dtype that is not known")
    return spec(storage, offset, shape, stride, name)


def _quantised(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorSpec:
    return spec(storage, offset, shape, stride)


def _of_type(function: Any, _type: Any, args: Any, _state: Any) -> Any:
    if not _plain(function, Name).kind.startswith("torch._utils._rebuild_"):
        raise TypeError("made in another way")
    return _plain(made(function, _plain(args, tuple), MEANINGS), TensorSpec)


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any) -> Any:
    return arrays.array(dtype, content, shape, columns_first=order == "F")


def _plain(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise TypeError(f"not {kinds}")
    return value


MEANINGS: Meanings = MappingProxyType(
    {
        "builtins.bytearray": _encoded,
        "builtins.bytes": _encoded,
        "builtins.complex": _complex,
        "builtins.dict": _dictionary,
        "builtins.getattr": _attribute,
        "builtins.frozenset": _frozenset,
        "builtins.list": _list,
        "builtins.range": _range,
        "builtins.set": _set,
        "builtins.slice": _slice,
        "builtins.tuple": _size,
        "_codecs.encode": _encoded,
        "collections.Counter": _dictionary,
        "collections.OrderedDict": _dictionary,
        "collections.defaultdict": lambda *_: {},
        "collections.deque": _list,
        "copyreg.__newobj__": _new,
        "copyreg._reconstructor": _reconstructed,
        "numpy.core.multiarray.scalar": arrays.scalar,
        "numpy.core.numeric._frombuffer": _frombuffer,
        "pathlib.Path": _posix_path,
        "pathlib.PosixPath": _posix_path,
        "pathlib.PurePosixPath": _posix_path,
        "pathlib.PureWindowsPath": _windows_path,
        "pathlib.WindowsPath": _windows_path,
        "pathlib._local.PosixPath": _posix_path,
        "pathlib._local.WindowsPath": _windows_path,
        "torch.Size": _size,
        "torch.autograd.variable.Variable": _first,
        "torch.device": _device,
        "torch.nn.parameter.Parameter": _first,
        "torch._tensor._rebuild_from_type_v2": _of_type,
        "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
        "torch._utils._rebuild_parameter": _first,
        "torch._utils._rebuild_parameter_with_state": _first,
        "torch._utils._rebuild_qtensor": _quantised,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor_2,
        "torch._utils._rebuild_tensor_v3": _tensor_3,
        "torch.tensor._rebuild_from_type_v2": _of_type,
    }
)
