"""Bad requests and bad files: one clear line, the right exit code, nothing left behind."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqprobe_cli import options
from seqprobe_cli.outputs import Outputs

Refuse = Callable[..., str]
Run = Callable[..., Any]
GRADIENT = ("--limit", "2", "--probe", "gradient-decay")
SMALL = ("--length", "32", "--limit", "8", "--data", "synthetic:iid")


class Touch:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(3, 3))


def saved(thing: Any, *, zipped: bool = True) -> Callable[[Path], None]:
    return lambda path: torch.save(thing, path, _use_new_zipfile_serialization=zipped)


def cut(path: Path) -> None:
    torch.save(nn.Linear(50, 50).state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])


def written(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


BAD_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (written(b""), "the file is empty; got 0 bytes"),
    "cut off": (cut, "the file is cut off: its central directory is missing; got 5,000 bytes"),
    "lfs": (written(b"version https://git-lfs.github.com/spec/v1\n"), "Run `git lfs pull`."),
    "html": (written(b"<!DOCTYPE html>"), "this is an HTML page (a failed download?); got 15 b"),
    "gzip": (written(gzip.compress(b"x")), "this is a gzip archive; got 21 bytes. Unpack it"),
    "gguf": (written(b"GGUF"), "this is a GGUF file"),
    "hdf5": (written(b"\x89HDF\r\n"), "this is an HDF5 file"),
    "json": (written(b"{}"), "this is a JSON file"),
    "random": (written(bytes(range(180, 250))), "not a checkpoint; got 70 bytes starting with"),
    "zip": (written(b"PK\x05\x06" + bytes(18)), "a zip archive, but not one of torch.save"),
    "optimizer": (
        saved(torch.optim.SGD([torch.zeros(1)]).state_dict()),
        "the state of an optimizer, without the model's weights",
    ),
}


@pytest.mark.parametrize("command", ["analyze", "compare", "inspect"])
@pytest.mark.parametrize(("write", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_checkpoints(
    refuse: Refuse, folder: Path, write: Callable[[Path], None], message: str, command: str
) -> None:
    write(folder / "model.pt")
    said = refuse(4, command, "model.pt")
    assert message in said
    assert said.startswith("Error: model.pt: ")
    assert said.endswith("."), said


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_no_model_by_itself(refuse: Refuse, folder: Path, whole: bool, zipped: bool) -> None:
    module = nn.GRU(2, 2)
    saved(module if whole else module.state_dict(), zipped=zipped)(folder / "model.pt")
    for command in ("analyze", "compare"):
        assert refuse(3, command, "model.pt") == (
            "Error: model.pt: GRU model, which cannot be rebuilt from the file alone; missing: "
            "what gives its outputs. Say what builds the model: --model pkg.module:factory [--set "
            "name=value]."
        )


@pytest.mark.parametrize(
    ("weights", "exit_code", "message"),
    [
        (
            {"base.lora_A.weight": torch.zeros(2, 3), "base.lora_B.weight": torch.zeros(3, 2)},
            4,
            "a LoRA adapter, without the model that it changes; got 2 tensors, the first ba",
        ),
        (
            {"rnn.weight": torch.zeros(2, 3, dtype=torch.int8), "rnn.scales": torch.zeros(2)},
            3,
            "the weights are quantised; got rnn.weight in int8; expected floating-point",
        ),
    ],
    ids=["adapter", "quantised"],
)
def test_parts_of_a_model(
    refuse: Refuse, folder: Path, weights: Any, exit_code: int, message: str
) -> None:
    torch.save(weights, folder / "part.pt")
    assert message in refuse(exit_code, "analyze", "part.pt")


def test_a_class_that_nobody_knows_is_named(refuse: Refuse, folder: Path) -> None:
    """With what builds it: the class itself, which is not imported."""
    torch.save(Own(), folder / "own.pt")
    said = refuse(3, "analyze", "own.pt")
    assert f"pickled {__name__}.Own, which cannot be rebuilt from the file alone; missing" in said
    assert f"Say what builds it: --model {__name__}:Own [--set name=value]." in said


def test_missing_and_folder(refuse: Refuse, folder: Path) -> None:
    assert refuse(4, "analyze", "x.pt") == "Error: x.pt: no such checkpoint. Check the path."
    said = refuse(4, "analyze", folder)
    assert "no weights in this folder; got 0 files; expected model.safetensors, pytorch_mod" in said


@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_checkpoint(refuse: Refuse, folder: Path, zipped: bool) -> None:
    torch.save(
        {"a": Touch(folder / "canary")}, folder / "model.pt", _use_new_zipfile_serialization=zipped
    )
    for command in ("analyze", "inspect", "compare"):
        assert "no state dict inside; got a dictionary of a; " in refuse(4, command, "model.pt")
    assert not (folder / "canary").exists()


class TestFactories:
    @pytest.fixture
    def linear(self, folder: Path) -> Path:
        torch.save(nn.Linear(3, 3).state_dict(), folder / "net.pt")
        return Path("net.pt")

    def test_signature_is_quoted(self, refuse: Refuse, linear: Path) -> None:
        said = refuse(3, "analyze", linear, "--model", "torch.nn:Linear")
        assert "torch.nn:Linear: the factory failed; got TypeError: " in said
        assert "expected arguments as in Linear(in_features: int, out_features: int, " in said

    def test_not_importable(self, refuse: Refuse, linear: Path) -> None:
        said = refuse(3, "analyze", linear, "--model", "nowhere:Net")
        assert "nowhere:Net: the factory cannot be imported; got ModuleNotFoundError" in said

    def test_not_a_factory(self, refuse: Refuse, linear: Path) -> None:
        assert "expected pkg.module:factory" in refuse(2, "analyze", linear, "--model", "net.py")

    def test_misfit(self, refuse: Refuse, linear: Path) -> None:
        sizes = ("--set", "in_features=4", "--set", "out_features=3")
        said = refuse(3, "analyze", linear, "--model", "torch.nn:Linear", *sizes)
        assert "got other shape: weight (3, 3) for (3, 4); expected every tensor used exac" in said

    def test_no_setting(self, refuse: Refuse, linear: Path) -> None:
        said = refuse(2, "analyze", linear, "--model", "torch.nn:Linear", "--set", "width")
        assert "not a setting; got 'width'; expected name=value" in said

    def test_no_sequence_model(self, refuse: Refuse, linear: Path) -> None:
        sizes = ("--set", "in_features=3", "--set", "out_features=3")
        said = refuse(3, "analyze", linear, "--model", "torch.nn:Linear", *sizes)
        assert "cannot tell what the module takes; got no nn.Embedding inside" in said

    def test_nan_is_a_finding(self, run: Run, folder: Path) -> None:
        state = nn.Embedding(5, 5).state_dict()
        state["weight"][:] = torch.nan
        torch.save(state, folder / "nan.pt")
        sizes = ("--set", "num_embeddings=5", "--set", "embedding_dim=5")
        words = ("--model", "torch.nn:Embedding", *sizes, "--fail-on", "problem")
        result = run("analyze", "nan.pt", *words)
        assert result.exit_code == 1
        assert (
            "  problem: NaN or infinity stands in weight. It spreads to every output that these "
            "weights touch.\n    Do: Go back to a " in result.stdout
        )
        report = json.loads(Path("nan-report.json").read_text())
        assert report["model"]["nonfinite"] == ["weight"]
        assert report["verdict"]["status"] == "problem"
        why = "The outputs are not finite: NaN or infinity in 1 of 1 tensors."
        for check in report["checks"]:
            assert (check["status"], check["headline"]) == ("not applicable", why)


class TestRequests:
    def test_unknown_probe(self, refuse: Refuse, tiny: Path) -> None:
        said = refuse(2, "analyze", tiny, *SMALL, "--probe", "gradient-decoy")
        assert "no probe 'gradient-decoy'; expected one of " in said
        assert said.endswith("Did you mean 'gradient-decay'?")
        assert "Did you mean 'path-length'?" in refuse(2, "probe", "show", "path-lenght")

    def test_unknown_option_and_command(self, refuse: Refuse, tiny: Path) -> None:
        assert "No such option" in refuse(2, "analyze", tiny, "--lenght", "3")
        assert "No such command 'analyse'" in refuse(2, "analyse", tiny)
        assert "Missing argument" in refuse(2, "analyze")

    def test_missing_data(self, refuse: Refuse, tiny: Path) -> None:
        said = refuse(4, "analyze", tiny, "--data", "nowhere.txt")
        assert "nowhere.txt: no such data; expected a text file, a folder, `stdlib`" in said

    def test_empty_data(self, refuse: Refuse, tiny: Path, folder: Path) -> None:
        (folder / "empty.txt").touch()
        assert "empty.txt: no text to read" in refuse(4, "analyze", tiny, "--data", "empty.txt")

    def test_unknown_stream(self, refuse: Refuse, tiny: Path) -> None:
        said = refuse(2, "analyze", tiny, "--data", "synthetic:noise")
        assert (
            "no stream 'synthetic:noise'; expected one of synthetic:iid, synthetic:copy, sy" in said
        )

    def test_another_vocabulary(self, refuse: Refuse, short: Path, text: Path) -> None:
        said = refuse(2, "analyze", short, "--data", text, "--length", "16")
        assert "book.txt: the data is in another vocabulary than the model's; got bytes " in said
        assert "expected 9 tokens. Give --tokenizer tokenizer.json or a vocabulary file, " in said
        said = refuse(2, "analyze", short, "--data", text, "--length", "16", "--tokenizer", "bytes")
        assert "book.txt: the tokenizer knows more tokens than the model; got bytes, of" in said

    def test_longer_than_the_context(self, refuse: Refuse, short: Path) -> None:
        said = refuse(3, "analyze", short, *SMALL)
        assert "AttentionLM: the module cannot be run; got IndexError" in said
        assert "sequence of 32 tokens exceeds the 16 learned positions. Check the length ag" in said

    def test_data_shorter_than_a_sequence(self, refuse: Refuse, tiny: Path, text: Path) -> None:
        said = refuse(2, "analyze", tiny, "--data", text, "--length", "400", *GRADIENT)
        assert "book.txt: the data is shorter than one sequence; got 312 held-out bytes" in said

    @pytest.mark.parametrize("distance", ["32", "33", "500"])
    def test_distance_beyond_the_length(self, refuse: Refuse, tiny: Path, distance: str) -> None:
        said = refuse(2, "analyze", tiny, *SMALL, "--distance", distance)
        assert f"too short for what is asked; got length 32 and distance {distance}; " in said
        assert said.endswith("Raise --length or lower --distance.")

    @pytest.mark.parametrize(
        "words",
        [
            ("--length", "0"), ("--length", "x"), ("--limit", "0"), ("--distance", "0"),
            ("--seed", "-1"), ("--seed", "4294967296"), ("--fail-on", "info"),
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_impossible_numbers(self, refuse: Refuse, tiny: Path, words: tuple[str, ...]) -> None:
        assert f"Invalid value for '{words[0]}'" in refuse(2, "analyze", tiny, *words)

    def test_too_short(self, refuse: Refuse, tiny: Path) -> None:
        assert "expected a length of at least 16" in refuse(2, "analyze", tiny, "--length", "8")

    def test_dtype_and_device(self, refuse: Refuse, tiny: Path) -> None:
        said = refuse(2, "analyze", tiny, "--dtype", "float8")
        assert "unknown dtype 'float8'; expected one of float32, float64, bfloat16" in said
        assert "no device 'gpu' here; got " in refuse(2, "analyze", tiny, "--device", "gpu")
        assert "no device 'gpu' here" in refuse(2, "train", "gru", "--device", "gpu")


class TestTraining:
    def test_unknown_setting(self, refuse: Refuse) -> None:
        said = refuse(2, "train", "gru", "--set", "step=3")
        assert "no setting 'step'; expected one of data, share, distance, shortest, param" in said
        assert said.endswith("Did you mean 'steps'?")

    def test_unknown_model(self, refuse: Refuse) -> None:
        said = refuse(2, "train", "lsmt")
        assert said.endswith(
            "no reference model 'lsmt'; expected one of lstm, gru, rnn, mingru, minlstm, "
            "attention. Did you mean 'lstm'?"
        )

    def test_impossible_value(self, refuse: Refuse) -> None:
        said = refuse(2, "train", "gru", "--set", "steps=many")
        assert "setting 'steps' has an impossible value; got 'many'; expected a value such" in said

    def test_data(self, refuse: Refuse, folder: Path) -> None:
        assert "no such data" in refuse(4, "train", "gru", "--data", "nowhere.txt")
        (folder / "small.txt").write_text("too little")
        said = refuse(2, "train", "gru", "--data", "small.txt")
        assert "small.txt: the text is shorter than one training sequence" in said


class TestOutputs:
    """Looked at before anything is computed."""

    def test_ending(self, refuse: Refuse, tiny: Path) -> None:
        said = refuse(2, "analyze", tiny, "-o", "report.pdf")
        assert "-o has another ending than .html; got 'report.pdf'" in said
        said = refuse(2, "compare", tiny, "--json", "numbers.html")
        assert "--json has another ending than .json; got 'numbers.html'" in said

    def test_a_file_where_a_folder_should_be(
        self, refuse: Refuse, tiny: Path, folder: Path
    ) -> None:
        (folder / "afile").touch()
        said = refuse(4, "analyze", tiny, "-o", "afile/report.html")
        assert "afile/report.html: cannot be written; got " in said
        assert "cannot be written" in refuse(4, "train", "gru", "-o", "afile/x/gru.pt")
        assert "cannot be written" in refuse(4, "analyze", tiny, "--json", "afile/x.json")
        assert "cannot be written" in refuse(4, "report", "x.json", "-o", "afile/x.html")

    def test_a_folder_of_that_name(self, refuse: Refuse, tiny: Path, folder: Path) -> None:
        (folder / "gru-report.html").mkdir()
        assert "cannot be written; got a folder of that name" in refuse(4, "analyze", tiny)

    def test_a_folder_that_one_may_not_write_to(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from seqprobe.errors import FileError

        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(FileError, match=r"in a folder that you may write to\. Choose another"):
            Outputs.chosen(folder / "new" / "page.html", None)


class TestNothingHalfWritten:
    @pytest.fixture
    def _broken_renderer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_args: Any) -> str:
            raise ZeroDivisionError("while drawing")

        monkeypatch.setattr("seqprobe_reports.page.render", fail)

    @pytest.mark.usefixtures("_broken_renderer")
    def test_when_rendering_fails(self, refuse: Refuse, tiny: Path) -> None:
        said = refuse(70, "analyze", tiny, *SMALL, "--probe", "path-length")
        assert said == (
            "Error: ZeroDivisionError: while drawing. This is a bug; run again with --debug."
        )

    @pytest.mark.usefixtures("_broken_renderer")
    def test_an_older_report_stays(self, refuse: Refuse, tiny: Path, folder: Path) -> None:
        (folder / "gru-report.html").write_text("older")
        (folder / "gru-report.json").write_text("older")
        refuse(70, "analyze", tiny, *SMALL, "--probe", "path-length")
        assert (folder / "gru-report.html").read_text() == "older"
        assert (folder / "gru-report.json").read_text() == "older"

    def test_when_writing_fails(
        self, refuse: Refuse, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_args: Any, **_more: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        said = refuse(4, "analyze", tiny, *SMALL, "--probe", "path-length")
        assert "No space left on device" in said


class TestDebug:
    def test_traceback_only_then(self, tiny: Path) -> None:
        from click.testing import CliRunner

        from seqprobe_cli.main import main

        words = ["analyze", "nowhere.pt"]
        plain = CliRunner().invoke(main, words)
        debug = CliRunner().invoke(main, ["--debug", *words])
        assert "Traceback" not in plain.output
        assert "Traceback (most recent call last):" in debug.stderr
        assert "container.py" in debug.stderr
        assert plain.exit_code == debug.exit_code == 4
        assert debug.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("/home/me/net.pt", "net.pt"),
        ("../books", "books"),
        ("C:\\Users\\me\\net.pt", "net.pt"),
        ("net.pt", "net.pt"),
        ("--data=/home/me/book.txt", "--data=book.txt"),
        ("path=/home/me/a=b.txt", "path=a=b.txt"),
        ("/home/me=you/net.pt", "net.pt"),
        ("/home/me/", "me"),
        ("m:Net", "m:Net"),
        ("own.code:Net", "own.code:Net"),
        ("synthetic:iid", "synthetic:iid"),
        ("hidden=256", "hidden=256"),
    ],
)
def test_recorded_words(word: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/seqprobe", "analyze", word])
    assert options.recorded_command() == ("seqprobe", "analyze", kept)


@pytest.mark.parametrize(
    ("value", "read"),
    [("3", 3), ("3.5", 3.5), ("word", "word"), ("True", True), ("[1, 2]", [1, 2]), ("a=b", "a=b"),
     ("", ""), ("'3'", "3"), ("None", None)],
)  # fmt: skip
def test_settings_are_literals_or_words(value: str, read: Any) -> None:
    assert options.read_settings((f"name={value}",)) == {"name": read}
