"""Training: the same weights for the same seed, also when interrupted halfway."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqprobe.errors import FileError, UsageError
from seqprobe.reference import card, training
from seqprobe.reference.held_out import held_out_bits
from seqprobe.reference.language_models import build
from seqprobe.reference.recipe import Recipe, learning_rate, recipe_from
from seqprobe.reference.training import train
from seqprobe.sequences.tasks import Copy

CPU = torch.device("cpu")
KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
from seqprobe.reference import training
from seqprobe.reference.recipe import recipe_from

def die(step, bits):
    if step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
training.SAVE_SECONDS, training.width_for = 0, lambda kind, parameters, **shape: 16
recipe = recipe_from("gru", {**json.loads(sys.argv[2]), "data": "copy"})
training.train(recipe, Path(sys.argv[1]), torch.device("cpu"), die)
"""
TINY = {"steps": 6, "parameters": 4000, "context": 16, "batch": 4, "distance": 6, "warmup": 2}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(card, "SEQUENCES", 16)
    monkeypatch.setattr(training, "width_for", lambda kind, parameters, **shape: 16)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def book(tmp_path: Path) -> str:
    path = tmp_path / "book.txt"
    path.write_text("the cat sat on the mat and then it ran home. " * 30)
    return str(path)


def silent(_step: int, _bits: float) -> None:
    pass


def recipe(kind: str = "gru", **settings: Any) -> Recipe:
    return recipe_from(kind, TINY | {"data": "copy"} | settings)


def weights(path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def interrupting(at: int) -> Callable[[int, float], None]:
    def progress(step: int, _bits: float) -> None:
        if step == at:
            raise KeyboardInterrupt

    return progress


def test_deterministic_by_seed(tmp_path: Path) -> None:
    for name, seed in {"one": 0, "same": 0, "other": 1}.items():
        torch.rand(7)  # whatever was drawn before
        train(recipe(seed=seed), tmp_path / f"{name}.pt", CPU, silent)
    one, same, other = (weights(tmp_path / f"{n}.pt") for n in ("one", "same", "other"))
    assert equal(one, same)
    assert not equal(one, other)


def test_seeds_differ_in_their_batches_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[int, list[Tensor]] = {0: [], 1: []}
    held_out: list[Tensor] = []
    original = Copy.batch

    def spy(self: Copy, size: int, generator: torch.Generator) -> Any:
        batch = original(self, size, generator)
        (drawn[seed] if size == TINY["batch"] else held_out).append(batch[0])
        return batch

    monkeypatch.setattr(Copy, "batch", spy)
    for seed in drawn:
        train(recipe(seed=seed), tmp_path / "net.pt", CPU, silent)
    assert len(drawn[0]) == len(drawn[1]) == TINY["steps"]
    seen = [tuple(row) for batch in (*drawn[0], *drawn[1]) for row in batch.tolist()]
    assert len(set(seen)) == len(seen), "no sequence twice, in one run or the other"
    assert held_out
    assert not set(seen) & {tuple(row) for batch in held_out for row in batch.tolist()}


class TestResuming:
    @pytest.mark.parametrize("kind", ["gru", "attention"])
    def test_bit_identical(self, tmp_path: Path, kind: str) -> None:
        train(recipe(kind), tmp_path / "whole.pt", CPU, silent)
        output = tmp_path / "halves.pt"
        for at in (2, 4):
            with pytest.raises(KeyboardInterrupt):
                train(recipe(kind), output, CPU, interrupting(at))
            assert not output.exists()
            assert [p.name for p in tmp_path.glob("halves*")] == ["halves.pt.partial"]
        steps: list[int] = []
        train(recipe(kind), output, CPU, lambda step, bits: steps.append(step))
        assert steps == [5, 6], "nothing is done twice"
        assert not (tmp_path / "halves.pt.partial").exists()
        assert equal(weights(tmp_path / "whole.pt"), weights(output))

    def test_a_signal_in_the_middle_of_a_step(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C arrives between the weights' update and the step's end."""
        train(recipe(), tmp_path / "whole.pt", CPU, silent)
        original, calls = torch.optim.AdamW.step, []

        def step(self: Any, *args: Any, **more: Any) -> Any:
            done = original(self, *args, **more)
            calls.append(1)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return done

        monkeypatch.setattr(torch.optim.AdamW, "step", step)
        output = tmp_path / "halves.pt"
        with pytest.raises(KeyboardInterrupt):
            train(recipe(), output, CPU, silent)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        state = torch.load(tmp_path / "halves.pt.partial", weights_only=True)
        assert state["step"] == 3
        train(recipe(), output, CPU, silent)
        assert len(calls) == TINY["steps"]
        assert equal(weights(tmp_path / "whole.pt"), weights(output))

    def test_saved_now_and_then(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every half minute; here each step takes 20 seconds."""
        clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        monkeypatch.setattr(training, "time", clock)

        def crash(step: int, _bits: float) -> None:
            clock.now += 20
            if step == 5:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            train(recipe(), tmp_path / "net.pt", CPU, crash)
        state = torch.load(tmp_path / "net.pt.partial", weights_only=True)
        assert (state["step"], state["seconds"]) == (4, 80)

    def test_killed(self, tmp_path: Path) -> None:
        """As by a time limit: no handler runs."""
        train(recipe(), tmp_path / "whole.pt", CPU, silent)
        words = [sys.executable, "-c", KILLED, str(tmp_path / "halves.pt"), json.dumps(TINY)]
        dead = subprocess.run(words, capture_output=True, check=False)
        assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
        steps: list[int] = []
        train(recipe(), tmp_path / "halves.pt", CPU, lambda step, bits: steps.append(step))
        assert steps == [4, 5, 6]
        assert equal(weights(tmp_path / "whole.pt"), weights(tmp_path / "halves.pt"))
        one, other = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("whole", "halves"))
        for said in ("checked", "best_step", "best_held_out_bits"):
            assert one[said] == other[said]

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    @pytest.mark.parametrize("kind", ["gru", "attention"])
    @pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
    def test_on_another_device(self, tmp_path: Path, kind: str, first: str, then: str) -> None:
        """Up to rounding: products are those of TF32 or bfloat16 on a GPU."""
        same = recipe(kind, steps=40, learning_rate=1e-3)
        whole = train(same, tmp_path / "whole.pt", CPU, silent)
        output = tmp_path / "halves.pt"
        with pytest.raises(KeyboardInterrupt):
            train(same, output, torch.device(first), interrupting(20))
        steps: list[int] = []
        card = train(same, output, torch.device(then), lambda step, _: steps.append(step))
        assert steps[-1] == 40
        assert steps[0] == (21 if then == "cpu" else 40), "a GPU is asked for few losses"
        assert card["held_out_bits"] == pytest.approx(whole["held_out_bits"], abs=0.05)
        assert ("driver" in card["hardware"]) == (then == "cuda")

    def test_another_recipe_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            train(recipe(), tmp_path / "net.pt", CPU, interrupting(2))
        with pytest.raises(UsageError, match="the interrupted run used another recipe") as said:
            train(recipe(seed=1, steps=9), tmp_path / "net.pt", CPU, silent)
        said.match("got steps=6 then, 9 now, seed=0 then, 1 now; expected the recipe it was")
        said.match("net.pt.partial: .* delete the file to start anew")

    def test_a_file_that_is_no_interrupted_run(self, tmp_path: Path) -> None:
        partial = tmp_path / "net.pt.partial"
        for contents in (b"", b"nonsense", b"PK\x03\x04"):
            partial.write_bytes(contents)
            with pytest.raises(FileError, match=r"the interrupted run cannot be read.*Delete it"):
                train(recipe(), tmp_path / "net.pt", CPU, silent)
        torch.save({"step": 3}, partial)
        with pytest.raises(FileError, match="got KeyError"):
            train(recipe(), tmp_path / "net.pt", CPU, silent)


class TestCard:
    def test_says_what_was_done(self, tmp_path: Path, book: str) -> None:
        card = train(recipe(data=book, seed=3), tmp_path / "net.pt", CPU, silent)
        assert json.loads((tmp_path / "net.json").read_text()) == card
        assert torch.load(tmp_path / "net.pt", weights_only=True)["card"] == card
        assert card["name"] == "net"
        assert card["recipe"]["seed"] == 3
        assert card["tokens"] == 6 * 4 * 16
        assert card["parameters"] == sum(t.numel() for t in weights(tmp_path / "net.pt").values())
        assert card["corpus"]["source"] == "book.txt"
        assert len(card["corpus"]["sha256"]) == 64
        assert 0 < card["trigram_bits"] < 2
        assert 6 < card["held_out_bits"] < 10, "untrained: about 8 bits per byte"

    def test_the_best_step_beside_the_last_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Chosen by some sequences, and measured on all, as what is written is."""
        losses, seen = iter([3.0, 2.5, 1.25, 2.0, 2.75, 2.25]), []

        def bits(model: nn.Module, *_: Any) -> float:
            seen.append([tensor.clone() for tensor in model.state_dict().values()])
            return next(losses)

        monkeypatch.setattr(training, "held_out_bits", bits)
        card = train(recipe(), tmp_path / "net.pt", CPU, silent)
        assert card["best_step"] == 3
        assert card["checked"] == [[1, 3], [2, 2.5], [3, 1.25], [4, 2], [5, 2.75], [6, 2.25]]
        model = build(**card["architecture"])
        for name, weights_then in (("best_held_out_bits", seen[2]), ("held_out_bits", seen[5])):
            halved = [tensor.half() for tensor in weights_then]
            model.load_state_dict(dict(zip(model.state_dict(), halved, strict=True)))
            assert card[name] == round(held_out_bits(model, Copy(6), 16, CPU), 4)
        assert card["best_held_out_bits"] != card["held_out_bits"]
        assert equal(
            weights(tmp_path / "net.pt"), dict(zip(model.state_dict(), halved, strict=True))
        )

    def test_looked_at_twenty_times(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(training, "held_out_bits", lambda *_: 1.0)
        card = train(recipe(steps=50), tmp_path / "net.pt", CPU, silent)
        steps = [step for step, _ in card["checked"]]
        assert len(steps) == 20
        assert steps[-3:] == [45, 47, 50]

    def test_a_share_of_the_text(self, tmp_path: Path, book: str) -> None:
        whole = train(recipe(data=book), tmp_path / "net.pt", CPU, silent)
        some = train(recipe(data=book, share=0.1), tmp_path / "net.pt", CPU, silent)
        assert some["training_bytes"] == round(whole["training_bytes"] / 10)
        assert some["corpus"] == whole["corpus"]
        assert some["tokens"] == whole["tokens"]
        assert some["trigram_bits"] > whole["trigram_bits"], "counted on what is seen"
        assert "--set share=0.1" in some["command"]

    def test_every_distance(self, tmp_path: Path) -> None:
        card = train(recipe(distance=8, shortest=2), tmp_path / "net.pt", CPU, silent)
        assert list(card["held_out_by_distance"]) == ["2", "4", "8"]
        for found in card["held_out_by_distance"].values():
            assert 1 < found["bits"] < 6, "untrained: about three bits"
            assert 0 <= found["accuracy"] < 0.5

    def test_says_on_what(self, tmp_path: Path) -> None:
        card = train(recipe(), tmp_path / "net.pt", CPU, silent)
        assert card["hardware"].endswith("CPU, 1 threads")
        assert card["precision"] == "float32"
        assert card["date"] == datetime.now(UTC).date().isoformat()

    def test_holds_no_folders(self, tmp_path: Path, book: str) -> None:
        card = train(recipe(data=book), tmp_path / "net.pt", CPU, silent)
        assert str(tmp_path) not in json.dumps(card)
        assert str(tmp_path).encode() not in (tmp_path / "net.pt").read_bytes()

    def test_its_command_repeats_the_run(self, tmp_path: Path) -> None:
        card = train(recipe(seed=3), tmp_path / "net.pt", CPU, silent)
        words = card["command"].split()
        assert words[:3] == ["seqprobe", "train", "gru"]
        settings = dict(word.split("=") for word in words if "=" in word)
        typed = {k: v if k == "data" else int(v) for k, v in settings.items()}
        assert recipe_from("gru", typed) == recipe(seed=3)

    def test_a_task_has_no_corpus(self, tmp_path: Path) -> None:
        card = train(recipe(), tmp_path / "net.pt", CPU, silent)
        assert "corpus" not in card
        assert "trigram_bits" not in card


def test_it_learns(tmp_path: Path) -> None:
    """A few hundred steps of recalling one of four symbols: from two bits to none."""
    losses: list[float] = []
    settings: dict[str, Any] = {
        "data": "recall",
        "distance": 3,
        "steps": 150,
        "warmup": 10,
        "batch": 32,
    }
    card = train(
        recipe(**settings), tmp_path / "net.pt", CPU, lambda step, bits: losses.append(bits)
    )
    assert losses[0] > 1.5
    assert card["held_out_bits"] < 0.1


def test_learning_rate() -> None:
    plan = Recipe("gru", steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(plan, step) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.001 + 0.999 / 2)
    assert 0.001 < rates[99] < 0.003
    assert learning_rate(Recipe("gru", steps=1, warmup=0), 0) > 0


class TestSettings:
    def test_unknown(self) -> None:
        with pytest.raises(UsageError, match=r"no setting 'step'; .* Did you mean 'steps'") as said:
            recipe_from("gru", {"step": 3})
        assert said.value.exit_code == 2

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("steps", "many"), ("steps", 0), ("steps", -3), ("steps", 2.5), ("steps", True),
            ("heads", 0), ("parameters", 0), ("context", 0), ("batch", 0), ("seed", -1),
            ("seed", 2**40), ("learning_rate", -1.0), ("learning_rate", "x"), ("clip", 0),
            ("warmup", -1), ("data", 3), ("learning_rate", float("nan")), ("share", 1.5),
            ("share", 0), ("shortest", -1),
        ],
    )  # fmt: skip
    def test_impossible(self, name: str, value: Any) -> None:
        with pytest.raises(UsageError, match=f"setting '{name}' has an impossible value; got"):
            recipe_from("gru", {name: value})

    def test_possible(self) -> None:
        given = {"learning_rate": 1, "warmup": 0, "seed": 0, "clip": 0.5}
        assert recipe_from("rnn", given).learning_rate == 1
        assert recipe_from("attention", {}).layers == 4
        assert recipe_from("attention", {"layers": 1}).layers == 1

    def test_unknown_model(self) -> None:
        with pytest.raises(UsageError, match=r"no reference model 'lsmt'; .* Did you mean 'lstm'"):
            recipe_from("lsmt", {})

    def test_the_card_needs_another_name(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"would have the name of its card; got net.json"):
            train(recipe(), tmp_path / "net.json", CPU, silent)
        assert not list(tmp_path.iterdir())
