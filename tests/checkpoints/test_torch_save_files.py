"""Files of torch.save, old and new: the same names and numbers as torch itself would load."""

import argparse
import io
import pickle
import struct
import sys
import tarfile
import types
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.formats import legacy, tar, torch_zip
from seqprobe.checkpoints.formats import pickle as bare
from seqprobe.checkpoints.pickles.opaque import Object
from seqprobe.checkpoints.tensors import BYTES, TensorSpec
from seqprobe.checkpoints.trees.tree import contents_of
from seqprobe.errors import FileError


def torch_save(*, zipped: bool, protocol: int) -> Callable[[Any, Path], None]:
    def write(thing: Any, path: Path) -> None:
        torch.save(thing, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)

    return write


def dumped(protocol: int) -> Callable[[Any, Path], None]:
    return lambda thing, path: path.write_bytes(pickle.dumps(thing, protocol)) and None


Write, Read = Callable[[Any, Path], None], Callable[[Path], Any]
FORMATS: dict[str, tuple[Write, Read]] = {
    **{f"zip {n}": (torch_save(zipped=True, protocol=n), torch_zip.read) for n in (2, 3, 4, 5)},
    **{f"legacy {n}": (torch_save(zipped=False, protocol=n), legacy.read) for n in (2, 3, 4, 5)},
    **{f"bare {n}": (dumped(n), bare.read) for n in (3, 4, 5)},
}
ONE_OF_EACH = ["zip 2", "legacy 2", "bare 4"]
formats = pytest.mark.parametrize("kind", FORMATS)
one_of_each = pytest.mark.parametrize("kind", ONE_OF_EACH)


def fetched(spec: TensorSpec) -> Tensor:
    """Its numbers, by the plainest means."""
    with spec.storage.path.open("rb") as file:
        file.seek(spec.storage.start)
        content = bytearray(file.read(spec.storage.bytes))
    assert len(content) == spec.storage.bytes
    dtype = getattr(torch, spec.dtype)
    if not content:
        return torch.empty(spec.shape, dtype=dtype)
    flat = torch.frombuffer(content, dtype=torch.uint8).view(dtype)
    return flat.as_strided(spec.shape, spec.stride, spec.offset)


def theirs(path: Path, kind: str) -> Any:
    if kind.startswith("bare"):
        return pickle.loads(path.read_bytes())
    return torch.load(path, weights_only=False)


def saved(thing: Any, kind: str, path: Path) -> Contents:
    write, read = FORMATS[kind]
    write(thing, path)
    return contents_of(read(path), path, kind, path.stat().st_size)


def bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def same(weights: Any, tensors: Any) -> None:
    assert list(weights) == list(tensors)
    for name, tensor in tensors.items():
        ours = fetched(weights[name])
        assert (ours.dtype, ours.shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(bits(ours), bits(tensor)), name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


@formats
def test_a_state_dict(kind: str, path: Path) -> None:
    model = nn.Sequential(nn.Embedding(7, 3), nn.LSTM(3, 4, 2, bidirectional=True))
    contents = saved(model.state_dict(), kind, path)
    same(contents.weights, theirs(path, kind))
    assert (contents.beside, contents.others, contents.modules) == ({}, {}, {})
    assert (contents.path, contents.container, contents.bytes) == (
        path,
        kind,
        path.stat().st_size,
    )


DTYPES = [name for name in BYTES if not name.startswith("q")]


@one_of_each
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_every_kind(dtype: str, kind: str, path: Path) -> None:
    """Also those of whose old files torch itself fails to see the kind."""
    tensors = {"w": torch.arange(6).to(getattr(torch, dtype))}
    tensors["b"] = tensors["w"][:1].clone()
    same(saved(tensors, kind, path).weights, tensors)


@formats
def test_views_and_shared_numbers(kind: str, path: Path) -> None:
    base = torch.arange(60.0)
    tensors = {
        "whole": base,
        "part": base[10:20],
        "every third": base[1::3],
        "turned": base.view(6, 10).T,
        "repeated": base[:1].expand(5),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(2.5),
        "five": base.view(1, 2, 3, 5, 2).transpose(1, 3),
    }
    write, read = FORMATS[kind]
    write(tensors, path)
    weights = read(path)
    for name, expected in theirs(path, kind).items():
        assert weights[name].stride == expected.stride(), name
        assert torch.equal(fetched(weights[name]), expected), name


@one_of_each
def test_tied_weights_are_seen(kind: str, path: Path) -> None:
    layer = nn.Linear(3, 3)
    other = nn.Linear(3, 3, bias=False)
    other.weight = layer.weight
    weights = saved({"a": layer.weight, "b": other.weight, "c": layer.bias}, kind, path).weights
    assert weights["a"] == weights["b"]
    assert weights["a"] != weights["c"]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = 4
        self.activation = torch.relu
        self.names = ["a", "b"]
        self.embedding = nn.Embedding(5, 3, padding_idx=0)
        self.rnn = nn.GRU(3, 4, 2, batch_first=True, dropout=0.1)
        self.layers = nn.ModuleList(nn.Linear(4, 4, bias=bias) for bias in (True, False))
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("mask", torch.ones(2, 2))
        self.register_buffer("scratch", torch.ones(3), persistent=False)
        self.register_parameter("nothing", None)
        self.head = self.layers[1]
        self.register_forward_hook(print)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickling looks a class up in its module, and pytest does not put this one there."""
    monkeypatch.setitem(sys.modules, __name__, types.SimpleNamespace(**globals()))


@formats
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
def test_a_whole_module(kind: str, path: Path, importable: None) -> None:
    contents = saved(Net(), kind, path)
    same(contents.weights, theirs(path, kind).state_dict())
    modules = contents.modules
    assert list(modules) == list(dict(Net().named_modules(remove_duplicate=False)))
    assert modules[""].kind == f"{Net.__module__}.Net"
    own = dict(modules[""].attributes)
    assert "relu" in own.pop("activation")
    assert own == {"training": True, "hidden": 4, "names": ["a", "b"]}
    assert modules["rnn"].kind == "torch.nn.modules.rnn.GRU"
    assert modules["rnn"].attributes["num_layers"] == 2
    assert modules["rnn"].attributes["batch_first"] is True
    assert modules["embedding"].attributes["padding_idx"] == 0
    assert modules["layers.1"].attributes == {
        "training": True,
        "in_features": 4,
        "out_features": 4,
    }
    assert contents.weights["head.weight"] == contents.weights["layers.1.weight"]


@one_of_each
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
def test_modules_in_lists_and_wrappers(kind: str, path: Path, importable: None) -> None:
    """As in AWD-LSTM: [model, criterion, optimizer]."""
    model = nn.Linear(2, 3)
    criterion, optimizer = nn.Bilinear(2, 2, 1), torch.optim.Adam(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    contents = saved([nn.DataParallel(model), criterion, optimizer], kind, path)
    same(contents.weights, model.state_dict())
    assert contents.modules[""].attributes["out_features"] == 3
    assert list(contents.others) == ["1"]
    same(contents.others["1"], criterion.state_dict())
    contents = saved({"model": model, "epoch": 3, "optimizer": optimizer}, kind, path)
    same(contents.weights, model.state_dict())
    assert contents.beside == {"epoch": 3, "optimizer": "<torch.optim.adam.Adam>"}


def test_a_method_for_an_attribute(path: Path, importable: None) -> None:
    """AWD-LSTM replaces `flatten_parameters` so, which pickles `getattr`."""
    model = nn.LSTM(2, 2)
    model.flatten_parameters = model.extra_repr  # type: ignore[method-assign]
    contents = saved(model, "zip 2", path)
    assert contents.modules[""].attributes["flatten_parameters"] == "<builtins.getattr>"
    same(contents.weights, model.state_dict())


@formats
def test_what_stands_beside(kind: str, path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    contents = saved(
        {
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "args": argparse.Namespace(lr=np.float64(0.5), dir=Path("/a/b"), nested={"x": [1]}),
            "space": types.SimpleNamespace(a=1),
            "counts": defaultdict(int, a=2),
            "steps": range(3),
            "all steps": range(10**12),
            "loss": torch.tensor(1.5),
            "size": torch.Size([2, 3]),
            "device": torch.device("cuda", 1),
            "dtype": torch.bfloat16,
            "seed": np.int64(7),
            "best": None,
            ("a", 1): "odd key",
            3: "number",
        },
        kind,
        path,
    )
    assert list(contents.weights) == ["weight", "bias"]
    assert contents.beside == {
        "optimizer": "<the state of an optimizer>",
        "args": {"lr": 0.5, "dir": str(Path("/a/b")), "nested": {"x": [1]}},
        "space": {"a": 1},
        "counts": {"a": 2},
        "steps": [0, 1, 2],
        "all steps": "range(0, 1000000000000)",
        "loss": 1.5,
        "size": [2, 3],
        "device": "cuda:1",
        "dtype": "torch.bfloat16",
        "seed": 7,
        "a, 1": "odd key",
        "3": "number",
    }


@pytest.mark.parametrize("location", ["cuda:0", "mps", "xla:3", "privateuseone:0"])
@pytest.mark.parametrize("zipped", [True, False])
def test_where_the_numbers_once_were_does_not_matter(
    location: str, zipped: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: location)
    model = nn.Linear(2, 2)
    contents = saved(model.state_dict(), "zip 2" if zipped else "legacy 2", path)
    assert location.encode() in path.read_bytes()
    same(contents.weights, model.state_dict())


def test_old_cuda_storages(path: Path) -> None:
    torch.save({"w": torch.arange(3.0)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(
        path.read_bytes().replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage")
    )
    assert fetched(legacy.read(path)["w"]).tolist() == [0, 1, 2]


SD = nn.Linear(2, 2).state_dict()
RNN = nn.GRU(2, 2).state_dict()
PLACES: dict[str, tuple[Any, list[str], list[str], dict[str, Any]]] = {
    "nested": ({"rnn": {"w": SD["weight"]}, "b": SD["bias"]}, ["rnn.w", "b"], [], {}),
    "under a name of its own": ({"mine": SD, "epoch": 1}, list(SD), [], {"epoch": 1}),
    "two levels down": (
        {"checkpoint": {"model": SD, "epoch": 1}, "args": {"a": 1}},
        list(SD),
        [],
        {"epoch": 1, "args": {"a": 1}},
    ),
    "with an average": ({"model": SD, "ema": SD, "it": 2}, list(SD), ["ema"], {"it": 2}),
    "an average in parts": (
        {"state_dict": SD, "model_ema": {"decay": 0.9, "module": SD}},
        list(SD),
        ["model_ema"],
        {"model_ema": {"decay": 0.9, "module": "<2 tensors>"}},
    ),
    "only an average": ({"ema_weights": SD, "it": 2}, list(SD), [], {"it": 2}),
    "the average first": ({"ema_net": SD, "own": RNN}, list(RNN), ["ema_net"], {}),
    "a head apart": ({"model": RNN, "generator": SD}, list(RNN), ["generator"], {}),
    "two parts": (
        {"encoder": RNN, "decoder": SD, "epoch": 1},
        [f"encoder.{name}" for name in RNN] + [f"decoder.{name}" for name in SD],
        [],
        {"epoch": 1},
    ),
    "best and last": ({"best": SD, "last": SD}, list(SD), ["last"], {}),
    "among options": (
        {"weight": SD["weight"], "lr": 1, "epochs": 2, "name": "x"},
        ["weight"],
        [],
        {"lr": 1, "epochs": 2, "name": "x"},
    ),
    "a tensor among options": (
        {"hparams": {"lr": 1, "seed": 2, "class_weights": SD["weight"]}, "net_1": SD},
        list(SD),
        [],
        {"hparams": {"lr": 1, "seed": 2, "class_weights": "<float32 tensor of 2 x 2>"}},
    ),
    "a model among options": (
        {"state_dict": SD, "hyper_parameters": {"lr": 1, "net": nn.Linear(2, 2)}},
        list(SD),
        ["hyper_parameters"],
        {"hyper_parameters": {"lr": 1, "net": "<torch.nn.modules.linear.Linear>"}},
    ),
    "numbers for names": ({"layers": {0: SD}}, ["weight", "bias"], [], {}),
    "in a list": ([{"state_dict": SD}, 3], list(SD), [], {}),
}


@one_of_each
@pytest.mark.parametrize("place", PLACES)
def test_where_weights_are_found(place: str, kind: str, path: Path) -> None:
    tree, weights, others, beside = PLACES[place]
    contents = saved(tree, kind, path)
    assert list(contents.weights) == weights
    assert list(contents.others) == others
    assert contents.beside == beside


@one_of_each
def test_what_is_no_model_is_named(kind: str, path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    lora = {"base.q.lora_A.weight": torch.ones(2, 2), "base.q.lora_B.weight": torch.ones(2, 2)}
    for thing, message in (
        (optimizer.state_dict(), "the state of an optimizer, without the model's weights; got a d"),
        ({"optimizer": optimizer.state_dict(), "epoch": 1}, "the state of an optimizer, without"),
        (optimizer, "the state of an optimizer, without the model's weights; got an object of to"),
        (lora, "a LoRA adapter, without .* got 2 tensors.*model.merge_and_unload"),
        (
            {"a": 1, "b": [], "c": {}},
            "no state dict inside; got a dictionary of a, b, c; e",
        ),
        ({}, "no state dict inside; got a dictionary of nothing"),
        ([1, 2], "no state dict inside; got a list"),
        (torch.ones(2), "no state dict inside; got one tensor without a name"),
        (argparse.Namespace(a=1), "no state dict inside; got an object of argparse.Namespace"),
        (nn.ReLU(), "no state dict inside; got an object of torch.nn.modules.activation.ReLU"),
        ({"loss": torch.tensor(1.0)}, "no state dict inside; got a dictionary of loss"),
    ):
        with pytest.raises(FileError, match=rf"^model.pt: {message}"):
            saved(thing, kind, path)


@pytest.mark.parametrize("kind", ["zip 2", "legacy 2"])
def test_other_kinds_of_tensors(kind: str, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # that torch will drop it
        quantised = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    write, read = FORMATS[kind]
    write(
        {
            "w": torch.ones(2),
            "sparse": torch.eye(2).to_sparse(),
            "quantised": quantised,
            "parameter": nn.Parameter(torch.ones(1)),
            "buffer": nn.Buffer(torch.ones(1)),
            "negative": torch.ones(2, dtype=torch.complex64).conj().imag,
            "untyped": torch.ones(2, dtype=torch.uint16),
        },
        path,
    )
    tree = read(path)
    assert isinstance(tree["sparse"], Object)
    assert isinstance(tree["negative"], Object)
    assert tree["quantised"].dtype == "qint8"
    assert tree["untyped"].dtype == "uint16"
    contents = contents_of(tree, path, kind, 0)
    assert list(contents.weights) == ["w", "quantised", "parameter", "buffer", "untyped"]
    assert contents.warnings == (
        "left out, for they are no plain tensors: "
        "sparse (torch._utils._rebuild_sparse_tensor), negative (torch._utils._rebuild_tensor_v2)",
    )


def test_numbers_of_protocol_2_lie_nowhere(path: Path) -> None:
    """There, pickle.dump writes bytes as text."""
    path.write_bytes(pickle.dumps({"w": torch.ones(2)}, 2))
    with pytest.raises(FileError, match="no state dict inside"):
        contents_of(bare.read(path), path, "pickle", 0)


class Viewing(pickle.Pickler):
    """Writes references as torch did before 0.4, where a storage could be a part of another."""

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, torch.storage.TypedStorage):
            return None
        return ("storage", torch.FloatStorage, "root", "cpu", 10, ("view", 3, 5))


def test_views_of_storages_in_old_files(path: Path) -> None:
    head, body = io.BytesIO(), io.BytesIO()
    torch.save(0, head, _use_new_zipfile_serialization=False)
    numbers = head.getvalue()
    start = numbers[: numbers.rindex(b"\x80\x02K\x00.")]
    Viewing(body, 2).dump({"w": torch.arange(5.0)[1:3]})
    tail = pickle.dumps(["root"], 2) + struct.pack("<q10f", 10, *range(10))
    path.write_bytes(start + body.getvalue() + tail)
    expected = torch.load(path, weights_only=False)["w"]
    assert expected.tolist() == [4, 5]
    assert torch.equal(fetched(legacy.read(path)["w"]), expected)


class Numbered(pickle.Pickler):
    """Writes tensors as numbers, as torch did before 0.1.10."""

    def persistent_id(self, thing: Any) -> Any:
        return {"a": 11, "b": 12}.get(thing[:-1]) if thing in ("a!", "b!") else None


def before_0_1_10(path: Path) -> None:
    """Two storages of which one is a part of the other, and two tensors."""
    storages = pickle.dumps(1, 2) + pickle.dumps((1, "cpu", torch.FloatStorage), 2)
    storages += struct.pack("<q6f", 6, *range(6)) + pickle.dumps([(2, 1, 2, 3)], 2)
    tensors = pickle.dumps(2, 2)
    tensors += pickle.dumps((11, 1, torch.FloatTensor), 2)
    tensors += struct.pack("<ii2q2qq", 2, 0, 2, 3, 1, 2, 0)
    tensors += pickle.dumps((12, 2, torch.FloatTensor), 2)
    tensors += struct.pack("<ii1q1qq", 1, 0, 2, 1, 1)
    body = io.BytesIO()
    Numbered(body, 2).dump(OrderedDict(a="a!", b="b!", c=3))
    members = {"sys_info": pickle.dumps({}, 2), "pickle": body.getvalue()}
    members |= {"tensors": tensors, "storages": storages}
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1234567890.5
            file.addfile(info, io.BytesIO(content))


@pytest.mark.filterwarnings("ignore:Python 3.14:DeprecationWarning")
def test_files_from_before_0_1_10(path: Path) -> None:
    before_0_1_10(path)
    expected = torch.load(path, weights_only=False)
    contents = contents_of(tar.read(path), path, "tar", 0)
    same(contents.weights, {"a": expected["a"], "b": expected["b"]})
    assert fetched(contents.weights["a"]).tolist() == [[0, 2, 4], [1, 3, 5]]
    assert fetched(contents.weights["b"]).tolist() == [3, 4]
    assert contents.beside == {"c": 3}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_cut_off_file(kind: str, path: Path) -> None:
    write, read = FORMATS[kind]
    write({"w": torch.arange(100.0)}, path)
    whole = path.read_bytes()
    for part in (0.1, 0.5, 0.8, 0.99):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(FileError, match=r"^model.pt: .*(cut off|damaged).*Copy it again\.$"):
            read(path)


def test_torch_is_not_needed() -> None:
    import subprocess

    modules = [
        "trees.tree",
        *(f"formats.{name}" for name in ("torch_zip", "legacy", "tar", "pickle")),
    ]
    imports = "; ".join(f"import seqprobe.checkpoints.{module}" for module in modules)
    heavy = "{'torch', 'numpy', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys; {imports}; assert not {heavy}"], check=True)
