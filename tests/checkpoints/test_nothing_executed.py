"""A checkpoint is data: whatever code it carries stays inert."""

import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqprobe.checkpoints.load import load
from seqprobe.checkpoints.weights import read
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


@pytest.fixture(params=[None, "1"], ids=["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def _environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", request.param)


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("payload", [Touch, Evaluate, ByState])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("place", ["alone", "beside", "inside"])
def test_a_payload_stays_inert(
    tmp_path: Path, payload: type[Touch], write: Callable[[Any, Path], None], place: str
) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    bad, weights = payload(canary), nn.Linear(2, 2).state_dict()
    write(
        {
            "alone": bad,
            "beside": {"state_dict": weights, "args": bad},
            "inside": {"weight": torch.zeros(2), "bias": bad},
        }[place],
        path,
    )
    with pytest.raises(FileError, match="nothing in a checkpoint is ever executed"):
        load(path, factory="torch.nn:Linear", settings={"in_features": 2, "out_features": 2})
    assert not canary.exists()


def test_the_payload_would_work(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    for number, payload in enumerate((Touch, Evaluate)):
        canary = tmp_path / f"canary{number}"
        torch.save({"a": payload(canary)}, tmp_path / "model.pt")
        torch.load(tmp_path / "model.pt", weights_only=False)
        assert canary.exists()


@pytest.mark.usefixtures("_environment")
def test_weights_only_is_always_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    passed: list[Any] = []
    original = torch.load

    def spy(*args: Any, **more: Any) -> Any:
        passed.append(more.get("weights_only"))
        return original(*args, **more)

    monkeypatch.setattr(torch, "load", spy)
    read(tmp_path / "model.pt")
    assert passed == [True]


def test_no_other_load_in_the_sources() -> None:
    """Every torch.load in the library names weights_only=True, and no plain pickle is read."""
    import seqprobe

    (root,) = seqprobe.__path__
    for file in Path(root).rglob("*.py"):
        source = file.read_text()
        assert source.count("torch.load(") == source.count("weights_only=True"), file
        assert "pickle.load" not in source, file


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickled_module_is_named_and_not_built(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.LSTM(2, 2), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(FileError, match="the file holds more than tensors") as raised:
        read(path)
    raised.match(r"got an object of torch.nn.modules.rnn.LSTM; expected a state dict")
    raised.match(r"Save model.state_dict\(\), and give what builds the model with --model\.")
    assert raised.value.exit_code == 4


def test_an_allowed_global_is_no_way_in(tmp_path: Path) -> None:
    """REDUCE on a name that torch allows, with an argument that it does not."""
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    body = pickle.dumps({"x": Touch(canary)}, protocol=2)
    assert any("system" in str(arg) for _, arg, _ in pickletools.genops(body))
    torch.save({"weight": torch.zeros(1), "more": [Touch(canary)]}, path)
    with pytest.raises(FileError, match=r"got an object of (posix|nt).system"):
        read(path)
    assert not canary.exists()
