"""The stack machine: what a real unpickler builds from plain values, and names for the rest."""

import io
import pickle
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seqprobe.checkpoints.pickles import bounds
from seqprobe.checkpoints.pickles.inert import load
from seqprobe.checkpoints.pickles.opaque import Blob, Name, Object
from seqprobe.checkpoints.trees import plain
from seqprobe.checkpoints.trees.plain import Plain
from seqprobe.errors import FileError

PROTOCOLS = range(6)


def inertly(content: bytes) -> Any:
    return load(io.BytesIO(content), "model.pkl")


def plainly(thing: Any, protocol: int = 2) -> Any:
    return Plain("model.pkl")(inertly(pickle.dumps(thing, protocol)))


VALUES = {
    "atoms": [None, True, False, 0, 1, 255, 256, 65535, 65536, -1, 2**31, -(2**63), 2**200],
    "floats": [0.5, -1e300, float("inf")],
    "texts": ["", "a", "é" * 300, "\n'\"\\", "日本", "\x00\x85"],
    "nested": {"a": [1, (2, (3, [4])), {}], "b": {}, 3: (), (1, "x"): [()]},
    "wide": {f"name {i}": i for i in range(1100)},
    "long": list(range(2500)),
    "sets": [{1, 2}, frozenset({"a"}), set()],
    "ranges": [range(3), range(10, 0, -2), slice(1, None, 2), 2 + 3j],
    "bytes": [b"", b"abc", bytes(range(100)), bytearray(b"xyz")],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_plain_values_are_themselves(value: Any, protocol: int) -> None:
    assert inertly(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_collections_are_plain_ones(protocol: int) -> None:
    given = [
        OrderedDict(a=1, b=2),
        defaultdict(list, a=[1]),
        Counter("aab"),
        deque([1, 2], maxlen=5),
        Path("/a/b"),
        PurePosixPath("c"),
        PureWindowsPath("c:\\d"),
    ]
    assert inertly(pickle.dumps(given, protocol)) == [
        {"a": 1, "b": 2},
        {"a": [1]},
        {"a": 2, "b": 1},
        [1, 2],
        str(Path("/a/b")),
        "c",
        "c:\\d",
    ]


def test_attributes_of_an_ordered_dictionary_are_no_entries() -> None:
    """As `_metadata` of a state dict."""
    given = OrderedDict(a=1)
    given.b = 2  # type: ignore[attr-defined]
    assert inertly(pickle.dumps(given)) == {"a": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_unknown_class_is_its_name_and_its_parts(protocol: int) -> None:
    thing = inertly(pickle.dumps(SimpleNamespace(a=1, b=[2]), protocol))
    assert isinstance(thing, Object)
    assert thing.kind == "types.SimpleNamespace"
    assert thing.state == {"a": 1, "b": [2]}
    assert Plain("")(thing) == {"a": 1, "b": [2]}


class Listed(list):  # type: ignore[type-arg]
    pass


class Mapped(dict):  # type: ignore[type-arg]
    pass


class Slotted:
    __slots__ = ("a", "b")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_subclasses_of_containers_keep_their_contents(protocol: int, importable: None) -> None:
    assert plainly(Listed([1, 2]), protocol) == [1, 2]
    assert plainly(Mapped(a=1), protocol) == {"a": 1}


def test_slots(importable: None) -> None:
    thing = Slotted()
    thing.a = 1
    assert plainly(thing) == {"a": 1}


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickling looks a class up in its module, and pytest does not put this one there."""
    monkeypatch.setitem(sys.modules, Listed.__module__, SimpleNamespace(**globals()))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5),
        np.float32(-2),
        np.float16(0.5),
        np.int64(-7),
        np.uint8(200),
        np.bool_(True),
        np.str_("häß"),
        np.arange(6.0).reshape(2, 3),
        np.arange(4, dtype=">i2"),
        np.array(["ab", "c"]),
        np.array(3),
        np.zeros(0),
    ],
    ids=repr,
)
def test_numbers_of_numpy(value: Any, protocol: int) -> None:
    assert plainly(value, protocol) == value.tolist()


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_both_homes_of_numpy(module: str) -> None:
    given = pickle.dumps(np.float64(3), 2).replace(b"numpy._core.multiarray", module.encode())
    assert inertly(given) == 3.0


def test_long_arrays_and_odd_ones_are_only_named() -> None:
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    for array in (np.arange(1000), fortran, np.array([{}]), np.zeros(2, "c8")):
        assert isinstance(plainly(array, 4), str)


def test_classes_and_functions_are_names() -> None:
    assert inertly(pickle.dumps([np.sum, OrderedDict, len])) == [
        Name("numpy", "sum"),
        Name("collections", "OrderedDict"),
        Name("builtins", "len"),
    ]
    assert plainly({"activation": len, "size": np.float32}) == {
        "activation": "builtins.len",
        "size": "numpy.float32",
    }


def test_bound_methods_partials_and_enumerations() -> None:
    import functools
    import signal

    assert isinstance(inertly(pickle.dumps([].append)), Object)
    assert inertly(pickle.dumps(functools.partial(int, base=2))).kind == "functools.partial"
    assert plainly({"on": signal.Signals.SIGINT}) == {"on": 2}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_long_bytes_stay_where_they_are(protocol: int) -> None:
    secret = bytes(range(256)) * 2
    content = pickle.dumps(["before", secret, "after"], protocol)
    before, blob, after = inertly(content)
    assert (before, after) == ("before", "after")
    assert isinstance(blob, Blob)
    assert content[blob.start : blob.start + blob.bytes] == secret


def test_one_pickle_after_the_other() -> None:
    stream = io.BytesIO(pickle.dumps([1]) + pickle.dumps("two", 0) + b"rest")
    assert [load(stream, "f"), load(stream, "f")] == [[1], "two"]
    assert stream.read() == b"rest"


def test_cycles_and_shared_parts_are_kept() -> None:
    loop: list[Any] = [1]
    loop += [loop, {"loop": loop}]
    tree = inertly(pickle.dumps(loop))
    assert tree[1] is tree
    assert tree[2]["loop"] is tree
    assert Plain("")(tree) == [1, "<itself>", {"loop": "<itself>"}]


def test_half_characters_can_be_printed() -> None:
    (text,) = inertly(pickle.dumps(["\ud800x"]))
    assert text.encode() == b"\\ud800x"


def test_words_of_python_2() -> None:
    assert inertly(b"S'caf\\xe9'\np0\n.") == "café"
    assert inertly(b"(lp0\nI01\naI00\naL12L\naF0.5\na.") == [True, False, 12, 0.5]
    assert inertly(b"c__builtin__\nxrange\n(I3\ntR.") == range(3)
    assert inertly(rb"S'\d'" + b"\n.") == r"\d"


DAMAGED = {
    "nothing": b"",
    "no end": b"\x80\x02]",
    "no operation": b"\xff.",
    "empty stack": b".",
    "underflow": b"\x80\x02N\x86.",
    "no mark": b"Nt.",
    "cut-off text": b"X\x10\0\0\0abc",
    "cut-off bytes": b"B\x10\0\0\0abc",
    "cut-off long bytes": b"B\0\x01\0\0abc",
    "a length that no file has": b"\x8d" + struct.pack("<Q", 2**63) + b"a.",
    "bytes that no file has": b"\x8e" + struct.pack("<Q", 2**64 - 1) + b"a.",
    "negative length": b"T\xff\xff\xff\xffabc.",
    "unknown memo": b"h\x05.",
    "item into no dictionary": b"]NNs.",
    "item onto a name": b"cos\nsystem\nNa.",
    "unhashable key": b"}]Ns.",
    "odd items": b"}(NNNu.",
    "unhashable in a set": b"\x8f(]\x90.",
    "protocol 9": b"\x80\x09N.",
    "not utf-8": b"X\x01\0\0\0\xff.",
    "not a number": b"Ix\n.",
    "a number of 5000 digits": b"I" + b"1" * 5000 + b"\n.",
    "a name of numbers": b"K\x01K\x02\x93.",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_error(content: bytes) -> None:
    with pytest.raises(FileError, match=r"^model.pkl: the pickle in it cannot be read") as raised:
        inertly(content)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("Copy it again.")


def test_alone_it_may_refer_to_nothing() -> None:
    with pytest.raises(FileError, match=r"^model.pkl: the pickle refers to data outside of it"):
        inertly(b"Pthere\n.")
    with pytest.raises(FileError, match=r"buffers outside of it"):
        inertly(b"\x80\x05\x97.")


BOUNDS = {
    "PICKLE_BYTES": (b"(" + b"X\x05\0\0\0hello" * 30 + b"l.", "the pickle is larger .* 100 bytes"),
    "TEXT_BYTES": (b"X\x65\0\0\0" + b"a" * 101 + b".", "a text is larger .* 100 bytes"),
    "OPERATIONS": (b"N" * 101 + b".", "the pickle is larger .* 100 operations"),
    "OBJECTS": (b"]" * 101 + b".", "the pickle is larger .* 100 objects"),
    "INTEGER_BITS": (b"\x8a\x0e" + b"\x7f" * 14 + b".", "an integer is larger .* 100 bits"),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, message = BOUNDS[bound]
    inertly(content)
    monkeypatch.setattr(bounds, bound, 100)
    with pytest.raises(FileError, match=f"^model.pkl: {message}"):
        inertly(content)


def test_lines_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "TEXT_BYTES", 100)
    with pytest.raises(FileError, match="a text is larger"):
        inertly(b"V" + b"a" * 101 + b"\n.")


def test_what_is_given_again_and_again_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 100 that a memo hands to `list` for ever."""
    content = b"(" + b"N" * 100 + b"lq\x000" + b"(" + b"c__builtin__\nset\nh\0\x85R" * 20 + b"t."
    monkeypatch.setattr(bounds, "PICKLE_BYTES", 10_000)
    with pytest.raises(FileError, match="the pickle, with all that it repeats, is larger"):
        inertly(content)


@pytest.mark.parametrize(
    "content",
    [
        b"N" + b"\x85" * 100_000 + b".",
        b"]" * 100_000 + b"a" * 99_999 + b".",
    ],
    ids=["tuples", "lists"],
)
def test_deep_nesting_takes_no_stack(content: bytes) -> None:
    tree = inertly(content)
    with pytest.raises(FileError, match=r"^f: what stands beside .* is nested too deep"):
        Plain("f")({"x": tree})


def test_objects_made_of_objects_take_no_stack() -> None:
    tree = inertly(b"cno\nsuch\nq\x000" + b"(h\x00" * 20_000 + b"o" * 20_000 + b".")
    assert Plain("f")(tree) == "<no.such>"


def test_keys_are_never_deep() -> None:
    """Hashing a tuple follows it in C, to any depth."""
    with pytest.raises(FileError, match="a tuple of too many parts"):
        inertly(b"}N" + b"\x85" * 100_000 + b"Ns.")
    doubled = b"K\x01" + b"q\x00h\x00\x86" * 60
    with pytest.raises(FileError, match="a tuple of too many parts"):
        inertly(b"}" + doubled + b"Ns.")


def test_a_small_file_that_repeats_itself_is_no_large_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each list holds the one before twice: 2**60 leaves in 400 bytes."""
    monkeypatch.setattr(plain, "VALUES", 10_000)
    tree = inertly(b"N" + b"q\x000(h\x00h\x00l" * 60 + b".")
    with pytest.raises(FileError, match=r"^f: what stands beside .* repeats itself too often"):
        Plain("f")(tree)
