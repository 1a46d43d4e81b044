"""A checkpoint is data: whatever code it carries stays inert."""

import contextlib
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.read import read
from seqprobe.errors import FileError


class Touch:
    """Unpickled by an ordinary reader, it leaves a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


class Evaluate(Touch):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('pathlib').Path({str(self.canary)!r}).touch()",)


class ByState(Touch):
    def __reduce__(self) -> tuple[Any, ...]:
        return Path, (), None, iter([Touch(self.canary)]), None


class InItems(Touch):
    def __reduce__(self) -> tuple[Any, ...]:
        return nn.ParameterList, (), None, iter([Touch(self.canary)]), None


def legacy(thing: Any, path: Path) -> None:
    torch.save(thing, path, _use_new_zipfile_serialization=False)


def plain(protocol: int) -> Callable[[Any, Path], None]:
    def write(thing: Any, path: Path) -> None:
        path.write_bytes(pickle.dumps(thing, protocol=protocol))

    return write


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "zip": torch.save,
    "legacy": legacy,
    "plain pickle 2": plain(2),
    "plain pickle 4": plain(4),
}
READABLE = {name: write for name, write in WRITERS.items() if name != "plain pickle 2"}
# protocol 2 writes bytes as text, so the numbers of its tensors lie nowhere in the file


@pytest.fixture(params=[None, "1"], ids=["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def _environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", request.param)


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("payload", [Touch, Evaluate, ByState, InItems])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_payload_alone_is_no_checkpoint(
    tmp_path: Path, payload: type[Touch], write: Callable[[Any, Path], None]
) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    write(payload(canary), path)
    with pytest.raises(FileError, match=r"no state dict inside|cannot be read"):
        read(path)
    assert not canary.exists()


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("payload", [Touch, Evaluate, InItems])
@pytest.mark.parametrize("write", READABLE.values(), ids=READABLE)
@pytest.mark.parametrize("place", ["beside", "inside"])
def test_a_payload_stays_inert_and_the_weights_come_out(
    tmp_path: Path, payload: type[Touch], write: Callable[[Any, Path], None], place: str
) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    weights = nn.Linear(2, 2).state_dict()
    bad = payload(canary)
    write({**weights, "bad": bad} if place == "inside" else {"model": weights, "args": bad}, path)
    tensors = fetch_all(read(path).weights)
    assert tensors.keys() == weights.keys()
    assert all(torch.equal(tensors[name], weights[name]) for name in weights)
    assert not canary.exists()


@pytest.mark.parametrize("payload", [Touch, Evaluate, ByState, InItems])
@pytest.mark.parametrize("place", ["beside", "inside"])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_whatever_is_said_nothing_runs(
    tmp_path: Path, payload: type[Touch], write: Callable[[Any, Path], None], place: str
) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    weights, bad = nn.Linear(2, 2).state_dict(), payload(canary)
    write({**weights, "bad": bad} if place == "inside" else {"model": weights, "args": bad}, path)
    with contextlib.suppress(FileError):
        read(path)
    assert not canary.exists()


def test_the_payload_would_work(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    for number, payload in enumerate((Touch, Evaluate, ByState, InItems)):
        canary = tmp_path / f"canary{number}"
        torch.save({"a": payload(canary)}, tmp_path / "model.pt")
        with contextlib.suppress(AttributeError, AssertionError, TypeError):
            torch.load(tmp_path / "model.pt", weights_only=False)
        assert canary.exists()


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("write", READABLE.values(), ids=READABLE)
def test_no_unpickler_is_ever_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Any, Path], None]
) -> None:
    write({"weight": torch.zeros(2)}, tmp_path / "model.pt")

    def refuse(*_args: Any, **_more: Any) -> Any:
        raise AssertionError("an unpickler was asked")

    for module in (torch, pickle):
        monkeypatch.setattr(module, "load", refuse)
    for name in ("loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert fetch_all(read(tmp_path / "model.pt").weights)["weight"].tolist() == [0.0, 0.0]


def test_no_other_load_in_the_sources() -> None:
    """Every torch.load in the library names weights_only=True, and no plain pickle is read."""
    import seqprobe

    (root,) = seqprobe.__path__
    for file in Path(root).rglob("*.py"):
        source = file.read_text()
        assert source.count("torch.load(") == source.count("weights_only=True"), file
        assert "pickle.load" not in source, file
        assert "Unpickler" not in source or file.name == "weights.py", file


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("write", READABLE.values(), ids=READABLE)
def test_a_pickled_module_is_read_and_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Any, Path], None]
) -> None:
    module = nn.LSTM(2, 3)
    write(module, tmp_path / "model.pt")

    def refuse(*_args: Any, **_more: Any) -> None:
        raise AssertionError("a module was built")

    for name in ("__init__", "__setstate__"):
        monkeypatch.setattr(nn.LSTM, name, refuse)
    contents = read(tmp_path / "model.pt")
    tensors = fetch_all(contents.weights)
    assert contents.modules[""].kind == "torch.nn.modules.rnn.LSTM"
    assert contents.modules[""].attributes["hidden_size"] == 3
    assert tensors.keys() == module.state_dict().keys()
    assert all(torch.equal(tensors[name], value) for name, value in module.state_dict().items())


def test_an_allowed_global_is_no_way_in(tmp_path: Path) -> None:
    """REDUCE on a name that torch allows, with an argument that it does not."""
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    body = pickle.dumps({"x": Touch(canary)}, protocol=2)
    assert any("system" in str(arg) for _, arg, _ in pickletools.genops(body))
    torch.save({"weight": torch.zeros(1), "more": [Touch(canary)]}, path)
    assert list(read(path).weights) == ["weight"]
    assert not canary.exists()
