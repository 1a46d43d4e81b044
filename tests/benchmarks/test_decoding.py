"""One token at a time, and the whole at once, are the same."""

import pytest
import torch

from claims import costs
from claims.costs import WAYS, Setting, Timed, by_law, work
from claims.decoding import decoded, memory_of
from claims.models import KINDS, Side, equal, shape_of
from seqprobe.models.costs import Costs
from seqprobe.models.sequence_model import SequenceModel

PARAMETERS, LENGTH, BATCH, FLOAT = 12_000, 24, 2, 4


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def tokens(length=LENGTH):
    return torch.randint(256, (BATCH, length), generator=torch.Generator().manual_seed(1))


def test_token_by_token_gives_what_the_whole_gives(kind):
    model = equal(kind, PARAMETERS, LENGTH).eval()
    with torch.no_grad():
        whole = model(tokens())
    stepwise = decoded(memory_of(model, BATCH, room=LENGTH), tokens())
    torch.testing.assert_close(stepwise, whole, rtol=0, atol=1e-5)


def test_what_is_kept_is_the_state_or_two_vectors_per_token_and_layer(kind):
    model = equal(kind, PARAMETERS, LENGTH)
    width, layers = shape_of(model)["width"], 4 if kind == "attention" else 2
    per_layer = {"lstm": 2, "attention": 2 * LENGTH}.get(kind, 1)
    assert memory_of(model, BATCH, read=LENGTH).bytes == layers * per_layer * width * FLOAT * BATCH
    if kind == "mingru":
        return  # the library does not know what an unknown module has to keep
    carried = Costs(SequenceModel(model)).carried(tokens())
    assert carried.state is not None
    assert memory_of(model, 1, read=20).bytes == carried.state + 20 * (carried.per_token or 0)


def test_models_of_many_kinds_have_equally_many_parameters(kind):
    shape = shape_of(equal(kind, 1_000_000, LENGTH))
    assert shape["parameters"] == pytest.approx(1_000_000, rel=0.05)
    assert shape["positions"] == (LENGTH * shape["width"] if kind == "attention" else 0)


def test_beside_itself_a_model_does_the_work_many_times():
    model = equal("gru", PARAMETERS, LENGTH)
    one, three = (Costs(SequenceModel(each)) for each in (model, Side(model, 3)))
    inputs = tokens()[:1]
    assert three.trace(inputs).flops == 3 * one.trace(inputs).flops
    torch.testing.assert_close(Side(model, 3)(inputs), model(inputs))


@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_flops_are_those_counted_by_hand(kind, monkeypatch):
    monkeypatch.setattr(costs, "TRACED", (4, 8, 12, 16))
    lengths = [64, 1024, 65_536]
    done = work(kind, PARAMETERS, lengths)["flops"]
    d = shape_of(equal(kind, PARAMETERS, 1))["width"]
    for n, found in zip(lengths, done or [], strict=True):
        layers = 2 * 16 * n * d**2 if kind == "lstm" else 4 * n * (24 * d**2 + 4 * n * d)
        assert found == layers + 2 * n * d * 256


def test_work_that_follows_no_law_is_not_carried_on():
    at = (32, 64, 128, 256)
    assert by_law([n * (5 + n) for n in at], [1000]) == [1000 * 1005]
    assert by_law([n * n.bit_length() for n in at], [1000]) is None


def test_every_way_is_timed_in_every_precision():
    setting = Setting(PARAMETERS, "bfloat16", 2, 64, 1.0, torch.device("cpu"))
    for kind in KINDS:
        timed = Timed(setting, kind)
        assert all(timed.seconds(way, 64) > 0 for way in WAYS)
