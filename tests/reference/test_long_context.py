"""Twelve recipes whose models can be compared."""

from itertools import groupby

import pytest
import torch

from seqprobe.reference import training
from seqprobe.reference.language_models import build
from seqprobe.reference.long_context import KINDS, LONG, SMALL, Settings, recipes
from seqprobe.reference.recipe import Recipe
from seqprobe.sequences.corpus import corpus_of
from seqprobe.sequences.tasks import NextByte, Task, task_named


@pytest.mark.parametrize(("tasks", "apart"), [(LONG, 0.04), (SMALL, 0.13)], ids=["long", "small"])
def test_equal_parameters_and_tokens(tasks: Settings, apart: float) -> None:
    """Counted on modules without numbers; in half precision each is below 5 MB."""
    every = recipes(tasks)
    assert len(every) == len(tasks) * len(KINDS) == 12
    for data, group in groupby(every.values(), key=lambda recipe: recipe.data):
        members = list(group)
        assert {recipe.kind for recipe in members} == {*KINDS}
        assert len({(r.steps, r.batch, r.context, r.distance, r.shortest) for r in members}) == 1
        sizes = [_parameters(recipe) for recipe in members]
        assert max(sizes) / min(sizes) < 1 + apart, (data, sizes)
        assert 2 * max(sizes) < 5e6


def _parameters(recipe: Recipe) -> int:
    with torch.device("meta"):
        model = build(**training._architecture(recipe, _task(recipe)))
    return sum(parameter.numel() for parameter in model.parameters())


def _task(recipe: Recipe) -> Task:
    if recipe.data == "stdlib":
        return NextByte(corpus_of("any", bytes(2000), bytes(2000)), recipe.context)
    return task_named(recipe.data, context=0, distance=recipe.distance, shortest=recipe.shortest)


def test_long_means_long() -> None:
    every = recipes(LONG)
    assert [*every][:2] == ["lstm-recall", "gru-recall"]
    assert every["rnn-1024"].context == every["rnn-copy"].distance == 1024
    assert every["attention-recall"].distance == 1024
