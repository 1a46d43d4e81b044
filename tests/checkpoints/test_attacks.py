"""Files made to do harm: whatever they carry stays inert, and small files stay small."""

import copyreg
import io
import os
import pickle
import struct
import sys
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqprobe.checkpoints.formats import legacy, tar, torch_zip
from seqprobe.checkpoints.formats import pickle as bare
from seqprobe.checkpoints.pickles import inert, objects
from seqprobe.checkpoints.pickles.opaque import Name, Object
from seqprobe.checkpoints.tensors import Span
from seqprobe.checkpoints.trees import plain, search
from seqprobe.checkpoints.trees.tree import contents_of
from seqprobe.errors import FileError


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def name(dotted: str) -> bytes:
    module, _, attribute = dotted.rpartition(".")
    return b"c" + f"{module}\n{attribute}\n".encode()


def nested(canary: str) -> bytes:
    inner = PAYLOADS["REDUCE"](canary) + b"."
    return name("pickle.loads") + b"C" + bytes([len(inner)]) + inner + b"\x85R"


def chain(canary: str) -> bytes:
    """getattr(getattr(os, 'path').os, 'mkdir'): no dangerous name stands in the file whole."""
    path = name("builtins.getattr") + name("os.path") + text("os") + b"\x86R"
    return name("builtins.getattr") + path + text("mk" + "dir") + b"\x86R" + text(canary) + b"\x85R"


def mapped(canary: str) -> bytes:
    """A lazy call, and a tuple that draws from it: classes only, no function is called."""
    lazy = name("builtins.map") + name("os.mkdir") + b"(" + text(canary) + b"l\x86\x81"
    return name("builtins.tuple") + lazy


PAYLOADS: dict[str, Callable[[str], bytes]] = {
    "REDUCE": lambda canary: name("os.mkdir") + text(canary) + b"\x85R",
    "REDUCE, system": lambda canary: name("os.system") + text(f"mkdir {canary}") + b"\x85R",
    "REDUCE, eval": lambda canary: (
        name("builtins.eval") + text(f"__import__('os').mkdir({canary!r})") + b"\x85R"
    ),
    "REDUCE, exec": lambda canary: (
        name("builtins.exec") + text(f"import os; os.mkdir({canary!r})") + b"\x85R"
    ),
    "STACK_GLOBAL": lambda canary: (
        text("os") + text("mkdir") + b"\x93" + text(canary) + b"\x85R"
    ),
    "INST": lambda canary: b"(" + text(canary) + b"ios\nmkdir\n",
    "OBJ": lambda canary: b"(" + name("os.mkdir") + text(canary) + b"o",
    "NEWOBJ": lambda canary: mapped(canary) + b"\x85\x81",
    "NEWOBJ_EX": lambda canary: mapped(canary) + b"\x85}\x92",
    "EXT1": lambda canary: b"\x82\xf0" + text(canary) + b"\x85R",
    "EXT2": lambda canary: b"\x83\xf0\x00" + text(canary) + b"\x85R",
    "EXT4": lambda canary: b"\x84\xf0\x00\x00\x00" + text(canary) + b"\x85R",
    "getattr": chain,
    "a pickle in it": nested,
    "partial": lambda canary: (
        name("functools.partial") + name("os.mkdir") + b"\x85R"
        + b"(" + name("os.mkdir") + text(canary) + b"\x85}Ntb" + b")R"
    ),
    "an import": lambda canary: name("seqprobe_canary_module.made"),
    "a state": lambda canary: (
        name("seqprobe_canary_class.Taking") + b")\x81" + text(canary) + b"b"
    ),
}  # fmt: skip


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A path that no payload may bring into being."""
    path = tmp_path / "canary"
    (tmp_path / "seqprobe_canary_module.py").write_text(
        f"import os; os.mkdir({str(path)!r}); made = 1"
    )
    (tmp_path / "seqprobe_canary_class.py").write_text(
        "import os\nclass Taking:\n    def __setstate__(self, state): os.mkdir(state)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    copyreg.add_extension("os", "mkdir", 0xF0)
    yield path
    copyreg.remove_extension("os", "mkdir", 0xF0)
    for module in ("seqprobe_canary_module", "seqprobe_canary_class"):
        sys.modules.pop(module, None)


def zipped(payload: bytes, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/data.pkl", payload)
        file.writestr("model/version", "3\n")


HEAD = b"".join(
    pickle.dumps(part, 2)
    for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
)
WRITERS: dict[str, tuple[Callable[[bytes, Path], Any], Callable[[Path], Any]]] = {
    "zip": (zipped, torch_zip.read),
    "legacy": (
        lambda payload, path: path.write_bytes(HEAD + payload + pickle.dumps([])),
        legacy.read,
    ),
    "bare": (lambda payload, path: path.write_bytes(payload), bare.read),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_the_payload_would_work(payload: Callable[[str], bytes], canary: Path) -> None:
    """Else the tests below would prove nothing."""
    pickle.loads(payload(str(canary)) + b".")
    assert canary.exists()


@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_stays_inert(
    payload: Callable[[str], bytes],
    container: str,
    canary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, read = WRITERS[container]
    path = tmp_path / "model.pt"
    write(b"}" + text("args") + payload(str(canary)) + b"s.", path)
    modules, called = set(sys.modules), list[Any]()
    for function in ("system", "mkdir", "popen"):
        monkeypatch.setattr(os, function, lambda *args: called.append(args))
    with pytest.raises(FileError, match=r"^model.pt: no state dict inside; got a dictionary of ar"):
        contents_of(read(path), path, container, 0)
    assert not called
    assert not canary.exists()
    new = set(sys.modules) - modules
    assert all(module.startswith("encodings.") for module in new), new  # of names in a zip


@pytest.mark.parametrize("container", WRITERS)
def test_the_weights_beside_a_payload_are_read(
    container: str, canary: Path, tmp_path: Path
) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(canary),)

    path, given = tmp_path / "model.pt", {"state_dict": {"w": torch.arange(3.0)}, "args": Payload()}
    if container == "bare":
        path.write_bytes(pickle.dumps(given))
    else:
        torch.save(given, path, _use_new_zipfile_serialization=container == "zip")
    contents = contents_of(WRITERS[container][1](path), path, container, 0)
    (spec,) = contents.weights.values()
    numbers = path.read_bytes()[spec.storage.start :][: spec.storage.bytes]
    assert struct.unpack("<3f", numbers) == (0, 1, 2)
    assert contents.beside == {"args": str(canary)}
    assert not canary.exists()


def test_a_state_for_a_function_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """BUILD on a function would set its `__defaults__`: here there is no function to take it."""

    def innocent(argument: str = "before") -> str:
        return argument

    module = types.ModuleType("seqprobe_innocent")
    module.innocent = innocent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    state = b"N}" + text("__defaults__") + text("after") + b"\x85s\x86b."
    attack = name("seqprobe_innocent.innocent") + state
    inert.load(io.BytesIO(attack), "f")
    assert innocent() == "before"
    pickle.loads(attack)
    assert innocent() == "after"


@pytest.mark.parametrize(
    "target",
    [
        *sorted(objects.MEANINGS),
        "seqprobe.checkpoints.pickles.objects.MEANINGS",
        "seqprobe.checkpoints.pickles.objects._list",
        "seqprobe.checkpoints.pickles.inert._OPERATIONS",
        "seqprobe.checkpoints.pickles.machine.Machine",
    ],
)
def test_a_state_for_a_meaning_changes_nothing(target: str) -> None:
    before = {what: _inside(meaning) for what, meaning in objects.MEANINGS.items()}
    state = b"N}" + text("__defaults__") + text("after") + b"\x85s\x86b"
    for attack in (state, b")R" + state, b")\x81" + state, text("x") + text("y") + b"s"):
        try:
            inert.load(io.BytesIO(name(target) + attack + b"."), "f")
        except FileError:
            continue
    assert {what: _inside(meaning) for what, meaning in objects.MEANINGS.items()} == before


def _inside(meaning: Any) -> tuple[Any, ...]:
    return id(meaning), meaning.__defaults__, meaning.__code__, dict(meaning.__dict__)


def test_meanings_cannot_be_replaced() -> None:
    with pytest.raises(TypeError):
        objects.MEANINGS["builtins.set"] = print  # type: ignore[index]


# references to numbers

REFERENCES = {
    "no tuple": text("storage"),
    "another kind": b"(" + text("module") + name("os.system") + b"NNt",
    "too short": b"(" + text("storage") + b"t",
    "a kind that is no name": b"(" + text("storage") * 2 + text("0") + text("cpu") + b"K\x01t",
    "a key that is no text": b"(" + text("storage") + name("torch.FloatStorage") + b"]NK\x01t",
    "negative numbers": (
        b"(" + text("storage") + name("torch.FloatStorage") + text("0") + text("cpu")
        + b"J\xff\xff\xff\xfft"
    ),
}  # fmt: skip


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_references_of_a_wrong_form(reference: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    zipped(reference + b"Q.", path)
    with pytest.raises(FileError, match=r"^model.pt: the pickle refers to something that torch"):
        torch_zip.read(path)


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_references_of_a_wrong_form_in_an_old_file(reference: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(HEAD + reference + b"Q." + pickle.dumps([]))
    if reference == REFERENCES["another kind"]:  # of a module, which is only named
        assert legacy.read(path) == Name("os", "system")
    else:
        with pytest.raises(FileError, match=r"^model.pt: the pickle refers to something that to"):
            legacy.read(path)


def storage(key: str, count: int, kind: str = "Float") -> bytes:
    return (
        b"(" + text("storage") + name(f"torch.{kind}Storage") + text(key) + text("cpu")
        + b"\x8a\x08" + struct.pack("<q", count) + b"tQ"
    )  # fmt: skip


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def tensor(offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    sizes = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, stride)]
    return (
        name("torch._utils._rebuild_tensor_v2") + b"(" + storage("0", 4) + number(offset)
        + sizes[0] + sizes[1] + b"\x89" + name("collections.OrderedDict") + b")Rt" + b"R"
    )  # fmt: skip


def with_four_numbers(content: bytes, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/data.pkl", content + b".")
        file.writestr("model/data/0", struct.pack("<4f", 0, 1, 2, 3))


TENSORS = {
    "behind the end": (
        (1, (4,), (1,)),
        r"a tensor does not fit into its storage; got shape \(4,\)",
    ),
    "far strides": ((0, (2, 2), (1000, 1)), "a tensor does not fit into its storage"),
    "huge": ((0, (2**40,), (1,)), "a tensor does not fit into its storage"),
    "negative offset": ((-1, (1,), (1,)), "an impossible size, stride or offset; got -1"),
    "negative size": ((0, (-4,), (1,)), "an impossible size, stride or offset; got -4"),
    "negative stride": ((3, (2,), (-1,)), "an impossible size, stride or offset; got -1"),
    "64 bits": ((0, (2**63, 0), (1, 1)), "an impossible size, stride or offset"),
    "no stride": ((0, (4,), ()), "expected as many strides as sizes"),
    "one number a billion times": ((0, (10**9,), (0,)), "no number to be shown a million times"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_stay_inside_of_their_storage(case: str, tmp_path: Path) -> None:
    parts, message = TENSORS[case]
    path = tmp_path / "model.pt"
    with_four_numbers(tensor(*parts), path)
    with pytest.raises(FileError, match=f"^model.pt: .*{message}"):
        torch_zip.read(path)


def test_tensors_that_just_fit(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for parts in ((0, (4,), (1,)), (1, (3,), (1,)), (0, (2, 2), (1, 2)), (0, (2**20,), (0,))):
        with_four_numbers(tensor(*parts), path)
        spec = torch_zip.read(path)
        assert (spec.offset, spec.shape, spec.stride) == parts
    with_four_numbers(tensor(99, (0, 5), (1, 1)), path)
    assert torch_zip.read(path).offset == 0
    with_four_numbers(tensor(0, (1,) * 65, (1,) * 65), path)
    assert isinstance(torch_zip.read(path), Object), "torch itself knows 64 dimensions"


def test_storages_that_are_missing_or_short(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for key, count, message in (
        ("1", 1, "a part of the archive is missing; expected a member data/1"),
        ("../data.pkl", 1, "a part of the archive is missing"),
        ("../../../etc/passwd", 1, "a part of the archive is missing"),
        ("/etc/passwd", 1, "a part of the archive is missing"),
        ("0", 5, "fewer numbers than its tensors need; got 16 bytes in data/0; expected 20"),
        ("0", 2**62, "fewer numbers than its tensors need"),
    ):
        with_four_numbers(storage(key, count), path)
        with pytest.raises(FileError, match=f"^model.pt: .*{message}"):
            torch_zip.read(path)


# archives


def archive(path: Path, members: dict[str, bytes], **more: Any) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for member, content in members.items():
            file.writestr(member, content, **more)


NUMBERS = {"m/data.pkl": tensor(0, (4,), (1,)) + b".", "m/data/0": bytes(16)}


def test_compressed_numbers_are_refused_and_a_compressed_pickle_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    archive(path, NUMBERS, compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(FileError, match=r"the numbers in the archive are compressed.*zip -0 -r"):
        torch_zip.read(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/data.pkl", NUMBERS["m/data.pkl"], compress_type=zipfile.ZIP_DEFLATED)
        file.writestr("m/data/0", bytes(16))
    assert torch_zip.read(path).shape == (4,)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Honest about its size, or not."""
    path = tmp_path / "model.pt"
    archive(path, {"m/data.pkl": bytes(10**6)}, compress_type=zipfile.ZIP_DEFLATED)
    opened = torch_zip.Archive.open(path)
    with pytest.raises(FileError, match=r"too large or damaged; got 1,000,000 bytes of data.pkl"):
        opened.read("data.pkl", 10**5)
    opened.members["data.pkl"].file_size = 1000
    unpacked = list[int]()
    real = zlib.decompressobj

    class Counting:
        def __init__(self, *args: Any) -> None:
            self.real = real(*args)

        def decompress(self, *args: Any) -> bytes:
            content = self.real.decompress(*args)
            unpacked.append(len(content))
            return content

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    with pytest.raises(FileError, match=r"too large or damaged"):
        opened.read("data.pkl", 10**5)
    assert unpacked == [10**5 + 1]


def test_members_that_share_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    archive(path, NUMBERS)
    content = path.read_bytes()
    entry = content.rindex(b"PK\x01\x02")
    for at in (0, 1):
        path.write_bytes(content[: entry + 42] + struct.pack("<I", at) + content[entry + 46 :])
        with pytest.raises(FileError, match=r"not written by torch.save; got members that share b"):
            torch_zip.read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as file:
        for _ in range(2):
            file.writestr("m/data.pkl", b"N.")
    with pytest.raises(FileError, match=r"got members of one name"):
        torch_zip.read(path)


def test_two_pickles_or_none(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for members in ({"a/data.pkl": b"N.", "b/data.pkl": b"N."}, {"x": b""}, {"a/b/data.pkl": b""}):
        archive(path, members)
        with pytest.raises(
            FileError, match=r"a zip archive, but not one of torch.save; got \d mem"
        ):
            torch_zip.read(path)


def test_names_that_climb_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "model.pt"
    path.parent.mkdir()
    archive(path, NUMBERS | {"../../evil": b"x", "/tmp/evil": b"x", "m/../evil": b"x"})
    before = sorted(tmp_path.rglob("*"))
    assert torch_zip.read(path).shape == (4,)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_directory_that_lies(tmp_path: Path) -> None:
    """About where a member begins, or how long it is."""
    path = tmp_path / "model.pt"
    archive(path, NUMBERS)
    content = path.read_bytes()
    entry = content.rindex(b"PK\x01\x02")
    for place, value in ((42, 5), (20, 2**31)):
        path.write_bytes(
            content[: entry + place] + struct.pack("<I", value) + content[entry + place + 4 :]
        )
        with pytest.raises(FileError, match=r"model.pt: .*(damaged|not written by torch.save)"):
            torch_zip.read(path)


def test_encrypted_members(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    archive(path, NUMBERS)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="got encrypted members"):
        torch_zip.read(path)


def test_big_endian_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    archive(path, NUMBERS | {"m/byteorder": b"big"})
    with pytest.raises(FileError, match=r"^model.pt: its numbers are not little-endian"):
        torch_zip.read(path)


# pickles that promise more than they hold

BOMBS = {
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**63 - 1) + b"N.",
    "many protocols": b"\x80\x05" * 1000 + b"N.",
    "memo with gaps": b"Nr" + struct.pack("<I", 2**32 - 1) + b".",
    "frames in frames": (b"\x95" + struct.pack("<Q", 5)) * 1000 + b"N.",
    "doubled for ever": b"N" + b"q\x000h\x00h\x00\x86" * 1000 + b".",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_big_words_cost_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    assert bare.read(path) is None or isinstance(bare.read(path), tuple)


PROMISES = {
    "LONG4": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01" * 100 + b".",
    "a number of many bits": b"\x8b" + struct.pack("<i", 1000) + b"\x01" * 1000 + b".",
    "BINUNICODE8": b"\x8d" + struct.pack("<Q", 2**40) + b"a.",
    "BINBYTES8": b"\x8e" + struct.pack("<Q", 2**62) + b"a.",
    "BYTEARRAY8": b"\x96" + struct.pack("<Q", 2**62) + b"a.",
    "bytearray(10**12)": name("builtins.bytearray") + number(10**12) + b"\x85R" + b"0.",
    "memo with gaps": b"j" + struct.pack("<I", 2**32 - 1) + b".",
}


@pytest.mark.parametrize("content", PROMISES.values(), ids=PROMISES)
def test_large_promises_are_not_believed(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"^model.pt: (the pickle in it cannot|an? \w+ is larger)"):
        bare.read(path)


LEVEL = b"q\x000}" + text("a") + b"h\x00s" + text("b") + b"h\x00s"


def test_options_that_repeat_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty levels, each twice in the next, beside honest weights."""
    monkeypatch.setattr(plain, "VALUES", 10_000)
    path = tmp_path / "model.pt"
    weights = text("state_dict") + b"}" + text("w") + tensor(0, (4,), (1,)) + b"ss"
    with_four_numbers(b"}" + weights + text("args") + b"}" + LEVEL * 40 + b"s", path)
    with pytest.raises(FileError, match=r"^model.pt: what stands beside .* repeats itself too oft"):
        contents_of(torch_zip.read(path), path, "zip", 0)


def test_weights_that_repeat_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks for weights has to count as well."""
    monkeypatch.setattr(search, "STEPS", 10_000)
    path = tmp_path / "model.pt"
    with_four_numbers(b"}" + text("w") + tensor(0, (4,), (1,)) + b"s" + LEVEL * 40, path)
    with pytest.raises(FileError, match=r"^model.pt: the file repeats itself too often"):
        contents_of(torch_zip.read(path), path, "zip", 0)


def test_nothing_that_repeats_itself_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"}" + LEVEL * 40 + b".")
    with pytest.raises(FileError, match=r"^model.pt: no state dict inside; got a dictionary of"):
        contents_of(bare.read(path), path, "pickle", 0)


LONG = b"Y" * 299


@pytest.mark.parametrize(
    "content",
    [b"c" + LONG + b"\nname\n.", b"X\x2b\x01\0\0" + LONG + b"\x8c\x04name\x93."],
    ids=["GLOBAL", "STACK_GLOBAL"],
)
def test_long_names_of_classes(content: bytes, tmp_path: Path) -> None:
    """They would be kept once for each object that is made from them."""
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"cannot be read; .*got the name of a class is too long"):
        bare.read(path)


def test_attributes_of_attributes_without_end(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    once = b"q\x000" + name("builtins.getattr") + b"h\x00" + text("x" * 50) + b"\x86R"
    path.write_bytes(name("a.b") + once * 40 + b".")
    assert isinstance(bare.read(path), Object)


def test_paths_of_long_names(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    long = b"X\x2b\x01\0\0" + LONG
    inner = b"}" + text("w") + tensor(0, (4,), (1,)) + b"s"
    with_four_numbers(b"}" + long + inner + b"s" + text("v") + tensor(0, (4,), (1,)) + b"s", path)
    with pytest.raises(FileError, match=r"^model.pt: a name in it is too long; got YYYY"):
        contents_of(torch_zip.read(path), path, "zip", 0)


def test_an_array_that_many_objects_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "VALUES", 10_000)
    content = np.arange(20)

    def plainly(count: int) -> Any:
        given = io.BytesIO(pickle.dumps([content] * count, 4))
        return plain.Plain("f")(inert.load(given, "f"))

    assert plainly(3) == [list(range(20))] * 3
    with pytest.raises(FileError, match="repeats itself too often"):
        plainly(600)


def test_modules_in_themselves(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    content = name("net.Net") + b")\x81q\x00}" + text("_parameters") + b"}s"
    content += text("_modules") + b"}" + text("a") + b"h\x00ssb."
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"^model.pt: its modules contain each other without end"):
        contents_of(bare.read(path), path, "pickle", 0)


# old containers


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (pickle.dumps(["0"]) + struct.pack("<q", -1), "cut off: its numbers end too early"),
        (pickle.dumps(["0"]) + struct.pack("<q", 2**62), "cut off: its numbers end too early"),
        (pickle.dumps(["0"]) + struct.pack("<q", 4) + bytes(15), "cut off: its numbers end too e"),
        (pickle.dumps(["1"]) + struct.pack("<q", 4) + bytes(16), "of a kind that torch.save never"),
        (pickle.dumps([]), "a storage is missing or holds fewer numbers"),
        (pickle.dumps(7), "of a kind that torch.save never wrote"),
        (pickle.dumps([[]]), "of a kind that torch.save never wrote"),
        (b"", "the pickle in it cannot be read"),
    ],
)
def test_a_legacy_file_that_lies(tail: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(HEAD + storage("0", 4) + b"." + tail)
    with pytest.raises(FileError, match=f"^model.pt: .*{message}"):
        legacy.read(path)


def test_a_view_outside_of_its_storage(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    tail = pickle.dumps(["0"]) + struct.pack("<q", 4) + bytes(16)
    for offset, count, fits in ((0, 4, True), (2, 2, True), (2, 3, False), (-1, 2, False)):
        view = b"(" + text("1") + number(offset) + number(count) + b"t"
        path.write_bytes(HEAD + storage("0", 4)[:-2] + view + b"tQ." + tail)
        if fits:
            start = len(path.read_bytes()) - 16 + 4 * offset
            assert legacy.read(path).span == Span(path, start, 4 * count)
        else:
            with pytest.raises(FileError, match="a part of a storage lies outside of it"):
                legacy.read(path)


@pytest.mark.parametrize(
    "head", [(1, 1001, {"little_endian": True}), (0x1950A86A20F9469CFC6C, 1, {}), ([], {}, None)]
)
def test_no_head_of_torch(head: tuple[Any, ...], tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in head) + b"N.")
    with pytest.raises(FileError, match=r"^model.pt: a pickle that torch.save did not write"):
        legacy.read(path)


def test_a_tar_that_lies(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    header = b"storages".ljust(124, b"\0") + b"77777777777\0"
    for content in (header.ljust(512, b"\0"), b"storages".ljust(512, b"\0"), b"\0" * 2048, b"x"):
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"^model.pt: (the file is|a tar arch|the pickle in)"):
            tar.read(path)
