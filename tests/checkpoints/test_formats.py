"""Formats other than torch.save's own: what their libraries write, bit for bit."""

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import metadata as dcp_metadata
from torch.distributed.checkpoint.filesystem import _StorageInfo

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.read import read
from seqprobe.errors import FileError


class Net(nn.Module):
    """Tied weights, a transposed view, two kinds of half precision, an empty tensor, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.rnn = nn.LSTM(4, 5, num_layers=2, batch_first=True)
        self.head = nn.Linear(5, 7)
        self.tied = nn.Linear(4, 7, bias=False)
        self.tied.weight = self.embedding.weight
        self.low = nn.Parameter(torch.randn(3).bfloat16())
        self.narrow = nn.Parameter(torch.randn(3).half())
        self.turned = nn.Parameter(torch.randn(3, 4).t())
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.register_buffer("counts", torch.arange(3))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.width = 5

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.rnn(self.embedding(tokens))
        outputs: Tensor = self.head(states) + self.tied(self.embedding(tokens))
        floats = self.low.float().sum() + self.narrow.float().sum() + self.turned.sum()
        return outputs + floats + self.empty.sum() + self.counts.sum() + self.mask.sum()


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def as_safetensors(net: nn.Module, path: Path) -> None:
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    del tensors["tied.weight"]  # as save_pretrained of transformers does
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})


def as_script(net: nn.Module, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(net), path)


def as_trace(net: nn.Module, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(net, torch.zeros(2, 3, dtype=torch.long)), path)


def as_program(net: nn.Module, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        program = torch.export.export(net, (torch.zeros(2, 3, dtype=torch.long),))
        torch.export.save(program, path.with_suffix(".pt2"))
    path.with_suffix(".pt2").rename(path)


def as_program_before(net: nn.Module, path: Path) -> None:
    """The layout of torch 2.2 to 2.7: torch.save inside of a zip archive."""
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("serialized_exported_program.json", "{}")
        file.writestr("serialized_state_dict.pt", buffer.getvalue())
        file.writestr("version", "8.1")


def as_distributed(net: nn.Module, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        dcp.save({"model": net.state_dict(), "step": 7}, checkpoint_id=path)


WRITERS: dict[str, tuple[Callable[[nn.Module, Path], None], str]] = {
    "safetensors": (as_safetensors, "safetensors"),
    "script": (as_script, "TorchScript"),
    "trace": (as_trace, "TorchScript"),
    "program": (as_program, "torch.export"),
    "program before 2.8": (as_program_before, "torch.export"),
    "distributed": (as_distributed, "torch.distributed.checkpoint"),
}


@pytest.fixture(scope="module", params=WRITERS)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, net: Net
) -> tuple[str, Contents]:
    write, container = WRITERS[request.param]
    path = tmp_path_factory.mktemp("formats") / "model"
    write(net, path)
    contents = read(path)
    assert contents.container == container
    return request.param, contents


def same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit, and of one kind."""
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


def test_the_twin_that_safetensors_drops_comes_back(tmp_path: Path) -> None:
    """`save_model` keeps one of two tied tensors; its metadata name the other."""
    model = torch.nn.ModuleDict(
        {"encoder": torch.nn.Embedding(5, 3), "decoder": torch.nn.Linear(3, 5)}
    )
    model["decoder"].weight = model["encoder"].weight
    safetensors.torch.save_model(model, str(tmp_path / "model.safetensors"))
    kept = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert len(kept) == 2, "nothing was dropped: the test is void"
    weights = read(tmp_path / "model.safetensors").weights
    assert weights.keys() == model.state_dict().keys()
    assert weights["encoder.weight"] == weights["decoder.weight"]


def test_tensors_are_the_originals(written: tuple[str, Contents], net: Net) -> None:
    kind, contents = written
    expected = net.state_dict()
    if kind == "safetensors":
        del expected["tied.weight"]
    tensors = fetch_all(contents.weights)
    assert tensors.keys() == expected.keys()
    assert all(same(tensors[name], expected[name]) for name in expected)


def test_ties_are_kept(written: tuple[str, Contents]) -> None:
    kind, contents = written
    if kind in {"safetensors", "distributed"}:  # which write one of them, or both
        return
    assert contents.weights["tied.weight"] == contents.weights["embedding.weight"]
    tensors = fetch_all(contents.weights)
    assert tensors["tied.weight"].data_ptr() == tensors["embedding.weight"].data_ptr()
    assert tensors["head.weight"].data_ptr() != tensors["embedding.weight"].data_ptr()


def test_what_stands_beside(written: tuple[str, Contents]) -> None:
    kind, contents = written
    assert contents.beside == {
        "safetensors": {"__metadata__": {"format": "pt"}},
        "distributed": {"step": 7},
    }.get(kind, {})


@pytest.mark.parametrize("write", [as_script, as_trace])
def test_modules_of_torchscript(
    tmp_path: Path, net: Net, write: Callable[[nn.Module, Path], None]
) -> None:
    write(net, tmp_path / "model")
    modules = read(tmp_path / "model").modules
    assert modules[""].kind.endswith("Net")
    assert modules["rnn"].kind == "torch.nn.modules.rnn.LSTM"
    assert modules["tied"].kind == modules["head"].kind == "torch.nn.modules.linear.Linear"
    assert not any("mangle" in module.kind for module in modules.values())
    if write is as_script:
        assert modules[""].attributes["width"] == 5
        assert modules[""].attributes["training"] is False


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(2, 2))
        self.second = nn.Sequential(self.first[0])

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.second(self.first(inputs))
        return outputs


def test_a_module_with_two_parents(tmp_path: Path) -> None:
    as_script(Shared(), tmp_path / "model")
    assert read(tmp_path / "model").weights.keys() == Shared().state_dict().keys()


def test_code_of_torchscript_is_left_alone(tmp_path: Path, net: Net) -> None:
    """Whatever stands in code/ cannot matter."""
    as_script(net, tmp_path / "model")
    with (
        zipfile.ZipFile(tmp_path / "model") as old,
        zipfile.ZipFile(tmp_path / "other", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, b"garbage" if "/code/" in name else old.read(name))
    names = read(tmp_path / "model").weights.keys()
    assert read(tmp_path / "other").weights.keys() == names


def test_headers_of_safetensors_are_believed_by_the_library(tmp_path: Path, net: Net) -> None:
    """Whatever we accept, the library accepts; with the same names, kinds and shapes."""
    as_safetensors(net, tmp_path / "model")
    specs = read(tmp_path / "model").weights
    loaded = safetensors.torch.load_file(tmp_path / "model")
    assert {n: (f"torch.{s.dtype}", s.shape) for n, s in specs.items()} == {
        n: (str(t.dtype), tuple(t.shape)) for n, t in loaded.items()
    }


# distributed checkpoints in several chunks


def sharded(folder: Path, whole: Tensor, chunks: list[tuple[int, ...]]) -> None:
    """As several processes would write `whole`, each chunk as (first row, column, rows, columns).

    torch's writer would need as many processes; the index is torch's own, pickled.
    """
    folder.mkdir()
    places: dict[Any, Any] = {}
    sizes = []
    for number, (row, column, rows, columns) in enumerate(chunks):
        begins = torch.Size([row, column])
        file = folder / f"__{number % 2}_0.distcp"
        before = file.read_bytes() if file.exists() else b""
        buffer = io.BytesIO()
        torch.save(whole[row : row + rows, column : column + columns].clone(), buffer)
        file.write_bytes(before + buffer.getvalue())
        length = len(buffer.getvalue())
        index = dcp_metadata.MetadataIndex("w", begins, number)
        places[index] = _StorageInfo(file.name, len(before), length)
        sizes.append(dcp_metadata.ChunkStorageMetadata(begins, torch.Size([rows, columns])))
    properties = dcp_metadata.TensorProperties(whole.dtype)
    entry = dcp_metadata.TensorStorageMetadata(properties, whole.shape, sizes)
    index_of_all = dcp_metadata.Metadata({"w": entry}, None, places)
    (folder / ".metadata").write_bytes(pickle.dumps(index_of_all))


CHUNKS = {
    "rows": [(0, 0, 3, 4), (3, 0, 3, 4), (6, 0, 1, 4)],
    "columns": [(0, 0, 7, 2), (0, 2, 7, 2)],
    "both": [(0, 0, 3, 2), (0, 2, 3, 2), (3, 0, 4, 2), (3, 2, 4, 2)],
    "whole": [(0, 0, 7, 4)],
    "with an empty one": [(0, 0, 7, 4), (7, 0, 0, 4)],
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_a_tensor_in_chunks(
    tmp_path: Path, chunks: list[tuple[int, ...]], dtype: torch.dtype
) -> None:
    whole = torch.arange(28).view(7, 4).to(dtype)
    sharded(tmp_path / "saved", whole, chunks)
    reread = {"w": torch.zeros_like(whole)}
    with warnings.catch_warnings(action="ignore"):
        dcp.load(reread, checkpoint_id=tmp_path / "saved")
    assert same(reread["w"], whole), "torch reads what the test wrote"
    contents = read(tmp_path / "saved")
    assert contents.weights["w"].shape == (7, 4)
    assert same(fetch_all(contents.weights)["w"], whole)


def test_chunks_that_do_not_make_up_a_tensor(tmp_path: Path) -> None:
    whole = torch.zeros(7, 4)
    for name, chunks in {
        "hole": CHUNKS["rows"][:2],
        "twice": [(0, 0, 3, 4), (0, 0, 3, 4), (6, 0, 1, 4)],
    }.items():
        sharded(tmp_path / name, whole, chunks)
        with pytest.raises(FileError, match=r"index of the checkpoint is damaged; got .*chunks|7"):
            read(tmp_path / name)


def test_a_distributed_checkpoint_without_a_file(tmp_path: Path) -> None:
    sharded(tmp_path / "saved", torch.zeros(7, 4), CHUNKS["rows"])
    (tmp_path / "saved" / "__1_0.distcp").write_bytes(b"")
    with pytest.raises(FileError, match=r"^__1_0.distcp: the file is cut off\. Copy it again"):
        read(tmp_path / "saved")
    (tmp_path / "saved" / "__1_0.distcp").unlink()
    with pytest.raises(
        FileError, match=r"^saved: a file of the checkpoint is missing; expected __1"
    ):
        read(tmp_path / "saved")


def test_an_index_that_points_out_of_its_folder(tmp_path: Path) -> None:
    sharded(tmp_path / "saved", torch.zeros(7, 4), CHUNKS["whole"])
    index = (tmp_path / "saved" / ".metadata").read_bytes()
    (tmp_path / "saved" / ".metadata").write_bytes(
        index.replace(b"\x8c\x0c__0_0.distcp", b"\x8c\x0c../_0.distcp")
    )
    with pytest.raises(FileError, match=r"damaged; got a path out of the folder, \.\./_0"):
        read(tmp_path / "saved")


@pytest.mark.parametrize("part", ["model.distcp", ".metadata", "model-00001-of-00002.safetensors"])
def test_a_part_is_not_the_model(tmp_path: Path, part: str) -> None:
    (tmp_path / part).write_bytes(safetensors.torch.save({"w": torch.zeros(1)}))
    with pytest.raises(
        FileError, match=r"one part of a model .*Give the folder with all of them: "
    ):
        read(tmp_path / part)


@pytest.mark.parametrize("kind", WRITERS)
def test_any_damage_is_an_error_of_ours_or_none(tmp_path: Path, net: Net, kind: str) -> None:
    """Bytes flipped at random, in the directory and headers more often than in the numbers."""
    WRITERS[kind][0](net, tmp_path / "model")
    path = tmp_path / "model" / ".metadata" if kind == "distributed" else tmp_path / "model"
    whole, refused = path.read_bytes(), 0
    random = np.random.default_rng(0)
    for number in range(60):
        damaged = bytearray(whole)
        for place in random.integers(1, len(whole) if number % 2 else 1000, size=3):
            damaged[-place if number % 3 else place - 1] = random.integers(256)
        path.write_bytes(damaged)
        try:
            fetch_all(read(tmp_path / "model").weights)
        except FileError:
            refused += 1
    assert refused > 10


# nothing is executed, whatever the container


def payload(canary: Path) -> bytes:
    """Of a pickle: calls a function, and drops what it returns."""
    return b"cos\nsystem\n(V" + f"touch {canary}".encode() + b"\ntR0"


def rewritten(path: Path, member: str, content: Callable[[bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, old in members.items():
            file.writestr(name, content(old) if name.endswith(member) else old)


def test_torchscript_executes_nothing(tmp_path: Path, net: Net) -> None:
    as_script(net, tmp_path / "model")
    canary = tmp_path / "canary"
    rewritten(tmp_path / "model", "/data.pkl", lambda old: old[:2] + payload(canary) + old[2:])
    assert "head.weight" in read(tmp_path / "model").weights
    assert not canary.exists()


def test_torch_export_executes_nothing(tmp_path: Path, net: Net) -> None:
    as_program(net, tmp_path / "model")
    canary, inner = tmp_path / "canary", tmp_path / "inner"
    torch.save(torch.arange(3.0), inner)  # as torch writes tensor subclasses
    rewritten(inner, "data.pkl", lambda old: old[:2] + payload(canary) + old[2:])
    for name in ("weights/weight_0", "sample_inputs/model.pt"):
        rewritten(tmp_path / "model", name, lambda _: inner.read_bytes())
    pickled = json.dumps({"config": {"low": {"path_name": "weight_0", "use_pickle": True}}})
    rewritten(tmp_path / "model", "weights_config.json", lambda _: pickled.encode())
    assert fetch_all(read(tmp_path / "model").weights)["low"].tolist() == [0.0, 1.0, 2.0]
    assert not canary.exists()


def test_a_distributed_checkpoint_executes_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    as_distributed(nn.Linear(2, 2), tmp_path / "saved")
    index = tmp_path / "saved" / ".metadata"
    index.write_bytes(payload(canary) + index.read_bytes())
    assert "weight" in read(tmp_path / "saved").weights
    assert not canary.exists()
    pickle.loads(index.read_bytes())
    assert canary.exists(), "else the test would prove nothing"
