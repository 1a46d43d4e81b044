"""Numbers come out of their files as they are, without copies, and without touching the file."""

import hashlib
import json
import pickle
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
import safetensors.torch
import torch
from torch import Tensor

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.digest import sha256
from seqprobe.checkpoints.fetch import fetch, fetch_all, nonfinite
from seqprobe.checkpoints.loadable import check_loadable
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.tensors import Pieces, Span, TensorSpec, contiguous
from seqprobe.errors import FileError, ModelError

KINDS = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


def _numbers(kind: torch.dtype, count: int = 6) -> Tensor:
    """Random bits, without NaN, which equals nothing."""
    torch.manual_seed(0)
    if kind.is_floating_point or kind.is_complex:
        return torch.randn(count, dtype=torch.complex128 if kind.is_complex else None).to(kind)
    return torch.randint(0, 2 if kind is torch.bool else 100, (count,)).to(kind)


@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_number(path: Path, zipped: bool) -> None:
    tensors = {str(kind): _numbers(kind) for kind in KINDS}
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    fetched = fetch_all(read(path).weights)
    assert {name: value.dtype for name, value in fetched.items()} == {str(k): k for k in KINDS}
    assert all(torch.equal(fetched[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_becomes_float32(path: Path, kind: torch.dtype) -> None:
    small = torch.tensor([0.5, -1.5, 448.0, 0.0]).to(kind)
    safetensors.torch.save_file({"weight": small, "bias": small[:2].clone()}, path)
    fetched = fetch_all(read(path).weights)
    assert fetched["weight"].dtype == torch.float32
    assert torch.equal(fetched["weight"], small.float())


@pytest.mark.parametrize("zipped", [True, False])
def test_views_share_memory_as_they_did(path: Path, zipped: bool) -> None:
    base = torch.arange(24.0)
    views = {
        "whole": base,
        "tied": base,
        "turned": base.view(4, 6).t(),
        "slice": base.view(4, 6)[1:3, ::2],
        "expanded": base[:1].expand(5),
        "number": base[7],
        "other": base.clone(),
    }
    torch.save(views, path, _use_new_zipfile_serialization=zipped)
    fetched = fetch_all(read(path).weights)
    for name, view in views.items():
        assert torch.equal(fetched[name], view), name
        assert fetched[name].stride() == view.stride(), name
    fetched["whole"].zero_()
    assert not any(fetched[name].any() for name in views if name != "other")
    assert fetched["other"].any()


def test_the_file_is_never_changed(path: Path) -> None:
    torch.save({"weight": torch.ones(1000)}, path)
    before = path.read_bytes()
    fetched = fetch(read(path).weights["weight"])
    fetched += 1.0
    fetched.mul_(3.0)
    assert path.read_bytes() == before
    assert torch.equal(fetch(read(path).weights["weight"]), torch.ones(1000))


def test_numbers_are_not_copied(path: Path) -> None:
    """64 MB are mapped, not read."""
    torch.save({"weight": torch.ones(2**24)}, path)
    specs = read(path).weights
    before = psutil.Process().memory_info().rss
    fetched = fetch_all(specs)
    grown = psutil.Process().memory_info().rss - before
    assert grown < 8e6
    assert fetched["weight"][-1] == 1.0


@pytest.mark.parametrize("start", range(1, 9))
def test_numbers_that_lie_askew(path: Path, start: int) -> None:
    numbers = torch.randn(5, dtype=torch.float64)
    path.write_bytes(bytes(start) + numbers.numpy().tobytes())
    spec = TensorSpec("float64", (5,), (1,), Span(path, start, 40))
    assert torch.equal(fetch(spec), numbers)
    assert fetch(spec).data_ptr() % 8 == 0


def test_empty_tensors(path: Path) -> None:
    torch.save({"none": torch.zeros(0, 3), "one": torch.ones(1)}, path)
    assert fetch(read(path).weights["none"]).shape == (0, 3)


def test_pieces(path: Path) -> None:
    """What no piece covers must not look like a number."""
    path.write_bytes(torch.arange(6.0).numpy().tobytes())
    piece = TensorSpec("float32", (2, 2), (2, 1), Span(path, 0, 16))
    other = TensorSpec("float32", (2, 1), (1, 1), Span(path, 16, 8))
    both = Pieces((((0, 0), piece), ((0, 2), other)))
    whole = fetch(TensorSpec("float32", (2, 3), (3, 1), both))
    assert whole.tolist() == [[0.0, 1.0, 4.0], [2.0, 3.0, 5.0]]
    alone = fetch(TensorSpec("float32", (2, 3), (3, 1), Pieces((((0, 0), piece),))))
    assert alone[:, 2].isnan().all()
    assert both.bytes == 24


def test_a_file_that_has_changed(path: Path) -> None:
    torch.save({"weight": torch.ones(1000)}, path)
    spec = read(path).weights["weight"]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        FileError, match=r"^model.pt: the file has become shorter since it was read"
    ):
        fetch(spec)
    path.write_bytes(b"")
    with pytest.raises(FileError, match=r"model.pt: the file cannot be opened"):
        fetch(spec)
    path.unlink()
    with pytest.raises(FileError, match=r"cannot be opened; got No such file or directory"):
        fetch(spec)


# what is not finite


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_tensors_that_are_not_finite(bad: float) -> None:
    last = torch.zeros(3, 2**22)
    last[2, -1] = bad
    tensors = {
        "fine": torch.ones(2, 3),
        "last": last,
        "number": torch.tensor(bad),
        "half": torch.tensor([0.0, bad]).bfloat16(),
        "turned": torch.tensor([[0.0, bad], [0.0, 0.0]]).t(),
        "complex": torch.tensor([complex(0.0, bad)]),
        "none": torch.zeros(0, 3),
        "counts": torch.arange(3),
    }
    assert nonfinite(tensors) == ("last", "number", "half", "turned", "complex")


def test_infinite_weights_are_found_in_a_file(path: Path) -> None:
    torch.save({"a": torch.ones(2), "b": torch.tensor([1.0, torch.inf])}, path)
    assert nonfinite(fetch_all(read(path).weights)) == ("b",)


# what can be computed with


def _contents(**weights: TensorSpec) -> Contents:
    return Contents(Path("model.pt"), "safetensors", 1, weights)


def _spec(dtype: str, *shape: int, start: int = 0) -> TensorSpec:
    return TensorSpec(dtype, shape, contiguous(shape), Span(Path("model.pt"), start, 2**40))


QUANTISED = {
    "int8": {"fc.weight": _spec("int8", 4, 4), "fc.SCB": _spec("float32", 4)},
    "4 bits in bytes": {"fc.weight": _spec("uint8", 8, 1), "fc.weight.absmax": _spec("float32", 1)},
    "GPTQ": {"fc.qweight": _spec("int32", 2, 2), "fc.scales": _spec("float16", 2)},
    "compressed-tensors": {"fc.weight_packed": _spec("int32", 2, 2)},
    "torch": {"fc.weight": _spec("qint8", 4, 4)},
    "float8 with scales": {
        "fc.weight": _spec("float8_e4m3fn", 4, 4),
        "fc.weight_scale_inv": _spec("float32", 1, 1),
    },
}


@pytest.mark.parametrize("weights", QUANTISED.values(), ids=QUANTISED)
def test_quantised_weights_are_refused(weights: dict[str, TensorSpec]) -> None:
    name, spec = next(iter(weights.items()))
    with pytest.raises(
        ModelError,
        match=f"^model.pt: the weights are quantised; got {name} in {spec.dtype}; expected float.*"
        r"Dequantise them first",
    ):
        check_loadable(_contents(**weights))


def test_integers_that_are_no_weights() -> None:
    """Masks of GPT-2, counters of batch norm, and float8 that converts."""
    check_loadable(
        _contents(
            **{
                "h.0.attn.bias": _spec("uint8", 1, 1, 8, 8),
                "num_batches_tracked": _spec("int64"),
                "fc.weight": _spec("float8_e5m2", 4, 4),
            }
        )
    )


def test_more_than_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(6_000_000_000))
    big = {"a": _spec("float16", 1000, 1_000_000), "b": _spec("float16", 1000, 1_000_000, start=9)}
    with pytest.raises(
        ModelError,
        match=r"^model.pt: the weights do not fit into memory; got 2 tensors, 8\.0 GB as float32; "
        r"expected at most 6\.0 GB, which are free\. Add --dtype bfloat16, or use a machine",
    ):
        check_loadable(_contents(**big))
    check_loadable(_contents(**big), "bfloat16")
    check_loadable(_contents(a=big["a"], tied=big["a"]))
    with pytest.raises(ModelError, match=r"16\.0 GB as float64; .*Add --dtype bfloat16"):
        check_loadable(_contents(**big), "float64")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(10))
    with pytest.raises(ModelError, match=r"free\. Use a machine with more memory\.$"):
        check_loadable(_contents(**big), "bfloat16")


def test_memory_is_asked_before_anything_is_read(tmp_path: Path) -> None:
    """A file of one terabyte, most of it holes."""
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}
    ).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**40)
    with pytest.raises(ModelError, match=r"1 tensors, 1099\.5 GB as float32"):
        check_loadable(read(path))


# fingerprints


def test_fingerprint_of_a_file(path: Path) -> None:
    path.write_bytes(b"abc")
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(FileError, match="cannot be opened"):
        sha256(path.with_name("nowhere"))


def test_fingerprint_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c").write_bytes(b"3")
    lines = [
        f"{name}\0{hashlib.sha256(text).hexdigest()}\n" for name, text in (("a", b"1"), ("b", b"2"))
    ]
    first = sha256(tmp_path)
    assert first == hashlib.sha256("".join(lines).encode()).hexdigest()
    (tmp_path / "a").rename(tmp_path / "z")
    assert sha256(tmp_path) != first


def test_a_pickle_of_tensors(path: Path) -> None:
    """Its storages are small legacy files, at any byte."""
    tensors = {"weight": torch.randn(3, 100), "x": torch.randn(50, dtype=torch.float64)}
    path.write_bytes(pickle.dumps(tensors))
    fetched = fetch_all(read(path).weights)
    assert all(torch.equal(fetched[name], tensors[name]) for name in tensors)
