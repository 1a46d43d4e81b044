"""Where a state dict may stand in a file, and under which names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import seqprobe
from seqprobe.checkpoints.load import Given, Loaded
from seqprobe.checkpoints.load import load as load_given
from seqprobe.checkpoints.read import read
from seqprobe.errors import FileError, ModelError, SeqProbeError, UsageError

CODE = """
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width=6, *, vocabulary=5, tie=False, inner=None):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.rnn = nn.LSTM(width, width, batch_first=True)
            self.head = nn.Linear(width, vocabulary, bias=False)
            if tie:
                self.head.weight = self.embedding.weight

        def forward(self, tokens):
            return self.head(self.rnn(self.embedding(tokens))[0])

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = Net()

        def forward(self, tokens):
            return self.module(tokens)

    def tied(**more):
        return Net(tie=True, **more)

    def broken(width: int, depth: int = 2):
        raise ValueError("width must be even")

    def nothing():
        return {"not": "a module"}

    table = [1, 2]
    """


@pytest.fixture
def own(code: Any) -> str:
    name: str = code(CODE)
    return name


@pytest.fixture
def weights(own: str) -> dict[str, Tensor]:
    import importlib
    import sys

    sys.path.insert(0, ".")
    importlib.invalidate_caches()
    state: dict[str, Tensor] = importlib.import_module(own).Net().state_dict()
    return state


def load(path: Path, **given: Any) -> Loaded:
    return load_given(path, Given(**given))


def prefixed(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


class TestPlaces:
    @pytest.mark.parametrize("holder", [None, "state_dict", "model_state_dict", "model"])
    @pytest.mark.parametrize(
        "prefix",
        [
            "",
            "module.",
            "_orig_mod.",
            "module._orig_mod.",
            "_orig_mod.module.",
            "model.",
            "my.own.",
        ],
    )
    def test_loads(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor], holder: str, prefix: str
    ) -> None:
        named = prefixed(weights, prefix)
        contents = {holder: named, "epoch": 3, "optimizer": {"state": {}}} if holder else named
        torch.save(contents, tmp_path / "net.pt")
        loaded = load(tmp_path / "net.pt", factory=f"{own}:Net")
        mine = loaded.model.module.state_dict()
        assert all(torch.equal(mine[name], tensor) for name, tensor in weights.items())
        assert loaded.record.source == "factory"
        assert loaded.record.container == "torch.save (zip)"
        assert loaded.record.name == "net.pt"
        assert loaded.record.verification[0].step == "every tensor used exactly once"

    def test_safetensors(self, tmp_path: Path, own: str, weights: dict[str, Tensor]) -> None:
        save_file(weights, tmp_path / "net.safetensors")
        loaded = load(tmp_path / "net.safetensors", factory=f"{own}:Net")
        assert torch.equal(loaded.model.module.state_dict()["head.weight"], weights["head.weight"])
        assert loaded.record.container == "safetensors"

    def test_safetensors_keeps_one_of_two_tied_tensors(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor]
    ) -> None:
        one = {name: tensor for name, tensor in weights.items() if name != "head.weight"}
        save_file(one, tmp_path / "net.safetensors")
        module = load(tmp_path / "net.safetensors", factory=f"{own}:tied").model.module
        assert torch.equal(module.state_dict()["head.weight"], weights["embedding.weight"])
        with pytest.raises(ModelError, match=r"missing: head.weight"):
            load(tmp_path / "net.safetensors", factory=f"{own}:Net")

    def test_a_model_that_itself_has_a_part_named_module(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor]
    ) -> None:
        torch.save(prefixed(weights, "module."), tmp_path / "net.pt")
        assert load(tmp_path / "net.pt", factory=f"{own}:Wrapper").model.vocab_size == 5

    def test_half_precision_is_measured_in_float32(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor]
    ) -> None:
        torch.save({k: v.half() for k, v in weights.items()}, tmp_path / "net.pt")
        assert load(tmp_path / "net.pt", factory=f"{own}:Net").model.dtype == torch.float32
        double = load(tmp_path / "net.pt", factory=f"{own}:Net", dtype="float64")
        assert double.model.dtype == torch.float64


class TestWithoutStateDict:
    @pytest.mark.parametrize(
        ("contents", "message"),
        [
            (
                torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict(),
                "the state of an optimizer, without the model's weights; got a dictionary of state",
            ),
            (
                {"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters()).state_dict(), "e": 1},
                "the state of an optimizer, without the model's weights; got a dictionary of opti",
            ),
            ({}, "no state dict inside; got a dictionary of nothing"),
            ({"epoch": 3}, "no state dict inside; got a dictionary of epoch"),
            ({"state_dict": {}}, "no state dict inside; got a dictionary of state_dict"),
            ([torch.zeros(2)], "no state dict inside; got a list"),
            (torch.zeros(2), "no state dict inside; got one tensor without a name"),
        ],
    )
    def test_says_what_there_is(self, tmp_path: Path, contents: Any, message: str) -> None:
        torch.save(contents, tmp_path / "net.pt")
        with pytest.raises(FileError, match=f"^net.pt: {message}") as raised:
            read(tmp_path / "net.pt")
        raised.match(
            "under one of state_dict, model_state_dict, model_state, model. Give the file with mod"
        )
        assert raised.value.exit_code == 4


class TestMisfits:
    def refuse(self, tmp_path: Path, own: str, contents: Any, **more: Any) -> str:
        torch.save(contents, tmp_path / "net.pt")
        with pytest.raises(
            ModelError, match=r"^net.pt: the weights do not fit the model"
        ) as raised:
            load(tmp_path / "net.pt", factory=f"{own}:Net", **more)
        raised.match("expected every tensor used exactly once. Check the factory and its --set")
        assert raised.value.exit_code == 3
        return str(raised.value)

    def test_missing(self, tmp_path: Path, own: str, weights: dict[str, Tensor]) -> None:
        del weights["head.weight"]
        assert "got missing: head.weight;" in self.refuse(tmp_path, own, weights)

    def test_unexpected(self, tmp_path: Path, own: str, weights: dict[str, Tensor]) -> None:
        weights["head.bias"] = torch.zeros(5)
        assert "got not in the model: head.bias;" in self.refuse(tmp_path, own, weights)

    def test_other_shape(self, tmp_path: Path, own: str, weights: dict[str, Tensor]) -> None:
        said = self.refuse(tmp_path, own, weights, settings={"vocabulary": 9})
        assert "other shape: embedding.weight (5, 6) for (9, 6), head.weight" in said

    def test_other_names(self, tmp_path: Path, own: str, weights: dict[str, Tensor]) -> None:
        said = self.refuse(tmp_path, own, prefixed(weights, "n") | {"x": torch.zeros(1)})
        assert "missing: embedding.weight, rnn.weight_ih_l0, rnn.weight_hh_l0 and 3 more" in said
        assert "not in the model: nembedding.weight" in said

    def test_quantised(self, tmp_path: Path, own: str, weights: dict[str, Tensor]) -> None:
        weights["head.weight"] = (weights["head.weight"] * 99).to(torch.int8)
        torch.save(weights, tmp_path / "net.pt")
        with pytest.raises(ModelError, match=r"^net.pt: the weights are quantised; got head.weig"):
            load(tmp_path / "net.pt", factory=f"{own}:Net")

    def test_other_kind_of_number(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor]
    ) -> None:
        weights["rnn.bias_ih_l0"] = weights["rnn.bias_ih_l0"].long()
        said = self.refuse(tmp_path, own, weights)
        assert "other kind of number: rnn.bias_ih_l0 torch.int64 for torch.float32" in said

    def test_tied_in_the_model_and_not_in_the_file(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor]
    ) -> None:
        torch.save(weights, tmp_path / "net.pt")
        with pytest.raises(ModelError, match=r"two names of one tensor: embedding.weight and hea"):
            load(tmp_path / "net.pt", factory=f"{own}:tied")


class TestFactories:
    @pytest.fixture
    def file(self, tmp_path: Path, weights: dict[str, Tensor]) -> Path:
        torch.save(weights, tmp_path / "net.pt")
        return tmp_path / "net.pt"

    def test_none(self, file: Path) -> None:
        torch.save(nn.Linear(2, 2).state_dict(), file)
        with pytest.raises(
            ModelError, match=r"^net.pt: unknown model, which cannot be reb"
        ) as said:
            load(file)
        said.match(r"its architecture \(2 tensors, the first weight .*--model pkg.module:factory")

    def test_wrong_argument(self, own: str, file: Path) -> None:
        with pytest.raises(ModelError, match=f"^{own}:Net: the factory failed") as said:
            load(file, factory=f"{own}:Net", settings={"hidden": 3})
        said.match(r"TypeError: .*unexpected keyword argument 'hidden'")
        said.match(r"arguments as in Net\(width=6, \*, vocabulary=5, tie=False, inner=None\)")
        said.match("Give them with --set name=value")
        assert said.value.exit_code == 3

    def test_arguments_in_the_name(self, own: str, file: Path) -> None:
        loaded = load(file, factory=f"{own}:Net(width=6, vocabulary=5)")
        assert loaded.model.vocab_size == 5
        with pytest.raises(
            ModelError, match=r"other shape: embedding.weight \(5, 6\) for \(5, 7\)"
        ):
            load(file, factory=f"{own}:Net(width=7)")
        assert (
            load(file, factory=f"{own}:Net(width=7)", settings={"width": 6}).model.vocab_size == 5
        )

    @pytest.mark.parametrize("arguments", ["(6)", "(width=six)", "(width=6", "(width=6)()"])
    def test_arguments_that_are_no_literals(self, own: str, file: Path, arguments: str) -> None:
        with pytest.raises(UsageError, match=r"not a factory; got .*Net\(hidden=256\)"):
            load(file, factory=f"{own}:Net{arguments}")

    def test_arguments_from_the_file(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor]
    ) -> None:
        """Hyper-parameters that the factory has a parameter for; the user goes before the file."""
        recorded = {"width": 6, "vocabulary": 5, "learning_rate": 0.1, "tie": None}
        torch.save({"state_dict": weights, "hyper_parameters": recorded}, tmp_path / "net.pt")
        loaded = load(tmp_path / "net.pt", factory=f"{own}:Net", settings={"vocabulary": 5})
        decided = {a.name: (a.value, a.decided_by) for a in loaded.record.assumptions}
        assert decided == {"width": ("6", "file"), "vocabulary": ("5", "user")}
        recorded["width"] = 3
        torch.save({"state_dict": weights, "hyper_parameters": recorded}, tmp_path / "net.pt")
        with pytest.raises(ModelError, match=r"ValueError: width must be even with width=3 of the"):
            load(tmp_path / "net.pt", factory=f"{own}:broken")

    def test_fails_by_itself(self, own: str, file: Path) -> None:
        with pytest.raises(ModelError, match="got ValueError: width must be even") as said:
            load(file, factory=f"{own}:broken", settings={"width": 3})
        said.match(r"as in broken\(width: int, depth: int = 2\)")

    def test_returns_something_else(self, own: str, file: Path) -> None:
        with pytest.raises(ModelError, match=r"returned no module; got dict; expected a torch\.nn"):
            load(file, factory=f"{own}:nothing")

    def test_cannot_be_called(self, own: str, file: Path) -> None:
        with pytest.raises(ModelError, match="the factory cannot be called; got list"):
            load(file, factory=f"{own}:table")

    @pytest.mark.parametrize("name", ["Net", "own:", ":Net"])
    def test_no_colon(self, own: str, file: Path, name: str) -> None:
        factory = name.replace("own", own)
        with pytest.raises(UsageError, match=r"not a factory; got .*; expected pkg.module:factory"):
            load(file, factory=factory)

    @pytest.mark.parametrize(
        ("factory", "got"),
        [
            ("no_such_module:Net", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("{own}:Missing", "AttributeError: module '.*' has no attribute 'Missing'"),
            ("{own}.py:Net", "ModuleNotFoundError: .*is not a package"),
            ("a/b:Net", "ModuleNotFoundError: No module named 'a/b'"),
            (".own:Net", "TypeError: .*relative import"),
        ],
    )
    def test_cannot_be_imported(self, own: str, file: Path, factory: str, got: str) -> None:
        with pytest.raises(ModelError, match=f"the factory cannot be imported; got {got}") as said:
            load(file, factory=factory.format(own=own))
        said.match("Run from the folder that holds the code, and check both names")

    @pytest.mark.parametrize(
        ("source", "got"),
        [
            ("def f(:", "SyntaxError"),
            ("import sys; sys.exit(2)", "SystemExit: 2"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
        ],
    )
    def test_user_code_that_fails_on_import(
        self, file: Path, code: Any, source: str, got: str
    ) -> None:
        with pytest.raises(ModelError, match=f"cannot be imported; got {got}"):
            load(file, factory=f"{code(source)}:Net")


class TestNumbers:
    def test_nan(self, tmp_path: Path, own: str, weights: dict[str, Tensor]) -> None:
        weights["rnn.weight_hh_l0"][:] = torch.nan
        torch.save(weights, tmp_path / "net.pt")
        loaded = load(tmp_path / "net.pt", factory=f"{own}:Net")
        why = "The outputs are not finite: NaN or infinity in 1 of 6 tensors."
        assert loaded.obstacle == why
        assert loaded.record.nonfinite == ("rnn.weight_hh_l0",)
        assert loaded.record.family == "recurrent", "seen on a copy with zeros"
        with pytest.raises(ModelError, match=f"^net.pt: nothing can be measured; got {why}"):
            seqprobe.load(tmp_path / "net.pt", factory=f"{own}:Net")

    def test_a_nan_that_does_no_harm_is_recorded(
        self, tmp_path: Path, own: str, weights: dict[str, Tensor]
    ) -> None:
        tokens = load_tokens(weights["embedding.weight"])
        weights["embedding.weight"] = torch.cat([weights["embedding.weight"], tokens])
        weights["head.weight"] = torch.cat([weights["head.weight"], tokens])
        weights["embedding.weight"][-1, 0] = torch.inf
        torch.save(weights, tmp_path / "net.pt")
        settings = {"vocabulary": len(weights["embedding.weight"])}
        loaded = load(tmp_path / "net.pt", factory=f"{own}:Net", settings=settings)
        assert loaded.record.nonfinite == ("embedding.weight",)


def load_tokens(table: Tensor) -> Tensor:
    """Rows for many more tokens, so that the examples do not draw the last one."""
    return torch.zeros(5000, table.shape[1])


class TestWhereAndHow:
    def test_dtype(self, trained: Path) -> None:
        with pytest.raises(UsageError, match="unknown dtype 'int8'; expected one of float32, flo"):
            load(trained, dtype="int8")
        assert load(trained, dtype="bfloat16").model.dtype == torch.bfloat16

    @pytest.mark.parametrize(
        ("device", "got"),
        [
            ("tpu", "a kind of device that torch does not know"),
            ("meta", "a device that holds no numbers"),
            ("cuda:99", r"[^.]+"),
            ("", r"[^.]+"),
        ],
    )
    def test_device(self, trained: Path, device: str, got: str) -> None:
        with pytest.raises(UsageError, match=f"no device '{device}' here; got {got}; ") as said:
            load(trained, device=device)
        said.match("expected auto, cpu, or cuda where there is a GPU. Use --device auto")
        assert "\n" not in str(said.value)


class TestReferenceFiles:
    def test_loads_without_a_factory(self, trained: Path) -> None:
        loaded = load(trained)
        assert loaded.record.layout == "seqprobe train"
        assert loaded.record.family == "recurrent"
        assert loaded.record.plan["mixers"] == ["rnn: recurrent"]
        assert loaded.model.vocab_size == 256
        assert len(loaded.record.sha256) == 64

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"format": "seqprobe.reference/9"},
                "written by another version of seqprobe; got s",
            ),
            ({"architecture": {"kind": "lstm"}}, "its architecture cannot be read; got {'kind'"),
            ({"architecture": None}, "its architecture cannot be read; got None"),
        ],
    )
    def test_altered(self, trained: Path, tmp_path: Path, change: Any, message: str) -> None:
        contents = torch.load(trained, weights_only=True)
        torch.save(contents | change, tmp_path / "net.pt")
        with pytest.raises(FileError, match=f"^net.pt: {message}"):
            load(tmp_path / "net.pt")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kind": "xlstm"}, "no model of the layout seqprobe train can be built .*'?xlstm"),
            (
                {"width": -8},
                "no model of the layout seqprobe train can be built of this file; got Runti",
            ),
            ({"width": 10**7}, "can be built .* parameters for .* numbers in the file"),
            ({"colour": 1}, "can be built of this file; got TypeError"),
        ],
    )
    def test_impossible(self, trained: Path, tmp_path: Path, change: Any, message: str) -> None:
        """The sizes are what a file claims: no memory is taken for them."""
        contents = torch.load(trained, weights_only=True)
        contents["architecture"] |= change
        torch.save(contents, tmp_path / "net.pt")
        with pytest.raises(SeqProbeError, match=message):
            load(tmp_path / "net.pt")

    def test_without_architecture(self, trained: Path, tmp_path: Path) -> None:
        contents = torch.load(trained, weights_only=True)
        del contents["architecture"]
        torch.save(contents, tmp_path / "net.pt")
        with pytest.raises(FileError, match="its architecture cannot be read; got None"):
            load(tmp_path / "net.pt")
