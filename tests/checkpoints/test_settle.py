"""Who decides what a file does not say: the user, the data, what is usual, or nobody."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqprobe.checkpoints.layouts.layout import Layout, Unknown
from seqprobe.checkpoints.settle import Settled, settle
from seqprobe.errors import ModelError, UsageError

LAYOUT = Layout(
    name="toy",
    template="none:None",
    settings={},
    names={},
    stated={"bias": True},
    unknowns=(Unknown("n_head", (1, 2, 4)), Unknown("pooling", ("none", "last", "mean"))),
)


class Scored(nn.Module):
    """Remembers what it was built with."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.values = values


class Scores:
    """The loss is known for every combination of values."""

    unit, most = "bits per token", 64

    def __init__(self, penalty: Any, floor: float = 3.0, pairs: float = 2.5) -> None:
        self.penalty, self._floor, self._pairs = penalty, floor, pairs

    def losses(self, module: Scored, first: int, last: int) -> Tensor:
        noise = torch.sin(torch.arange(first, last, dtype=torch.float64))
        scale = 0.01 * (1 + sum(map(ord, repr(module.values))) % 7)
        return (2 + self.penalty(module.values) + scale * noise)[:, None]

    def floor(self, count: int) -> float:
        return self._floor

    def pairs(self, count: int) -> float | None:
        return self._pairs


def run(examples: Any = None, **more: Any) -> Settled:
    examples = {"bytes": examples} if isinstance(examples, Scores) else examples or {}
    arguments = {"settings": {}, "where": "model.pt", **more}
    return settle(LAYOUT, Scored, examples, **arguments)


def built(settled: Settled) -> dict[str, Any]:
    assert isinstance(settled.module, Scored)
    return settled.module.values


def deciders(settled: Settled) -> dict[str, str]:
    return {each.name: each.decided_by for each in settled.assumptions}


TRUTH = Scores(lambda v: 0.15 * (v["n_head"] != 4) + 0.15 * (v["pooling"] != "mean"))


def test_the_data_decide() -> None:
    settled = run(TRUTH)
    assert built(settled) == {"bias": True, "n_head": 4, "pooling": "mean"}
    assert deciders(settled) == {"bias": "file", "n_head": "likelihood", "pooling": "likelihood"}
    assert {each.alternatives_are for each in settled.assumptions} == {"ruled out"}
    assert settled.loss == pytest.approx(2, abs=0.02)
    assert settled.floor == 3.0
    assert settled.tokenizer == "bytes"


def test_a_model_without_memory_decides_little() -> None:
    """It loses to counting pairs of tokens."""
    settled = run(Scores(TRUTH.penalty, pairs=1.9))
    assert built(settled)["n_head"] == 4
    decided = {each.name: each.alternatives_are for each in settled.assumptions}
    assert decided == {"bias": "ruled out", "n_head": "possible", "pooling": "possible"}


def test_the_users_word_goes_before_file_and_data() -> None:
    settled = run(TRUTH, settings={"n_head": 2, "bias": False})
    assert built(settled) == {"bias": False, "n_head": 2, "pooling": "mean"}
    assert deciders(settled) == {"bias": "user", "n_head": "user", "pooling": "likelihood"}


@pytest.mark.parametrize(
    ("task", "allowed"),
    [
        ("lm", {"none"}),
        ("tag", {"none"}),
        ("classify", {"last", "mean"}),
        ("regress", {"last", "mean"}),
    ],
)
def test_the_task_narrows_the_pooling(task: Any, allowed: set[str]) -> None:
    for favourite in ("none", "last", "mean"):
        scores = Scores(lambda v, favourite=favourite: 0.2 * (v["pooling"] != favourite))
        pooling = built(run(scores, task=task))["pooling"]
        assert pooling in allowed
        assert pooling == favourite or favourite not in allowed


def test_tokenizers_compete_too() -> None:
    settled = run({"sorted": Scores(lambda v: 0.5), "first seen": Scores(lambda v: 0.1)})
    assert settled.tokenizer == "first seen"
    (found,) = [each for each in settled.assumptions if each.name == "tokenizer"]
    assert found.value == "first seen"
    assert found.alternatives == ("sorted",)
    assert found.margin == pytest.approx(0.4, abs=0.01)
    assert "tokenizer" not in built(settled)


def test_without_data_somebody_has_to_say_it() -> None:
    with pytest.raises(ModelError) as raised:
        run()
    assert str(raised.value) == (
        "model.pt: the file does not say everything about its model; got nothing on "
        "n_head (1, 2, 4); pooling (none, last, mean); expected data to find out by, or your word "
        "for it. Give --data with text (or labelled examples) of its kind, say it "
        "(--set n_head=1), or take the first of each with --assume-defaults."
    )
    assert raised.value.exit_code == 3
    settled = run(assume_defaults=True)
    assert built(settled) == {"bias": True, "n_head": 1, "pooling": "none"}
    assert deciders(settled) == {"bias": "file", "n_head": "default", "pooling": "default"}
    assert settled.loss is None
    assert built(run(settings={"n_head": 4, "pooling": "last"}))["n_head"] == 4


def test_a_setting_that_means_nothing() -> None:
    with pytest.raises(UsageError) as raised:
        run(TRUTH, settings={"heads": 2})
    assert str(raised.value) == (
        "model.pt: --set heads means nothing for toy; expected bias, n_head, pooling. "
        "All else is read from the shapes of the weights."
    )


def test_worse_than_no_model_at_all() -> None:
    with pytest.raises(ModelError) as raised:
        run(Scores(lambda v: 1.5))
    text = str(raised.value)
    assert text.startswith("model.pt: what was rebuilt is not your model, or the data is not of ")
    assert "bits per token at best, with n_head=" in text
    assert "expected less than 3.000, which takes no model at all. Give data as in training" in text
    assert "--model pkg.module:factory" in text
    assert raised.value.exit_code == 3


def test_nan_is_worse_than_no_model() -> None:
    with pytest.raises(ModelError, match="got inf bits per token"):
        run(Scores(lambda v: math.nan))


def test_what_cannot_run_is_quoted() -> None:
    def broken(_values: dict[str, Any]) -> nn.Module:
        raise ValueError("7 is no multiple of 4")

    with pytest.raises(ModelError, match=r"what was rebuilt does not run; got ValueError: 7 is no"):
        settle(LAYOUT, broken, {"bytes": TRUTH}, settings={}, where="model.pt")


def test_all_combinations_are_tried_before_giving_up() -> None:
    """Only (4, mean) is a model at all; every step towards it alone leads nowhere."""
    only = {"n_head": 4, "pooling": "mean", "bias": True}
    settled = run(Scores(lambda v: 0.0 if v == only else 2.0))
    assert built(settled) == only
