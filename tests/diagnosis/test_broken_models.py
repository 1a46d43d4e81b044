"""Models broken on purpose are found by their rule, and whole ones are not blamed for it."""

import pytest
import torch
from torch import nn

import seqprobe
from seqprobe.reference import broken, zoo
from seqprobe.reference.language_models import build


def found(model, probes, *, distance=20, length=48, sequences=8, data="synthetic:iid"):
    """All rules that fired, and the report."""
    report = seqprobe.analyze(
        model, data=data, probes=probes, distance=distance, length=length, limit=sequences
    )
    assert not any(check.error for check in report.checks)
    return {each.rule for each in report.findings}, report


GRADIENT, REACH = ("gradient-decay",), ("path-length",)


def in_half(model):
    return seqprobe.SequenceModel(model.module.bfloat16())


@pytest.mark.parametrize(
    ("make", "probes", "rules"),
    [
        (lambda: broken.forget_bias(4.0), GRADIENT, {"gradient-arrives"}),
        (lambda: broken.forget_bias(-20.0), GRADIENT, {"gradient-vanished", "gates-saturated"}),
        (
            lambda: broken.forget_bias(20.0, layers=2),
            GRADIENT,
            {"gradient-arrives", "gates-saturated"},
        ),
        (lambda: zoo.leaky(1.0, layers=3), GRADIENT, {"gradient-arrives"}),  # it grows as k^2
        (lambda: broken.recurrent_gain(1.2), GRADIENT, {"gradient-explodes"}),
        (lambda: zoo.leaky(0.9), (*GRADIENT, *REACH), {"gradient-arrives"}),
        (
            lambda: zoo.leaky(0.6),
            (*GRADIENT, *REACH),
            {"gradient-vanished", "reachable-but-vanished"},
        ),
        (lambda: zoo.window_attention(32), REACH, set()),
        (lambda: zoo.window_attention(4), REACH, {"out-of-reach"}),
        (lambda: broken.restarting(32), REACH, set()),
        (lambda: broken.restarting(8), REACH, {"out-of-reach"}),
        (broken.leaking, ("carry-over",), {"call-leakage"}),
        (lambda: zoo.carried_rnn(0.9), ("carry-over",), set()),
        (broken.half_carried, ("carry-over",), {"chunks-differ"}),
        (zoo.uniform_attention, ("attention",), set()),
        (lambda: in_half(zoo.uniform_attention()), ("attention",), {"low-precision-collapse"}),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(make, probes, rules):
    torch.manual_seed(0)
    model = make()
    data = None if model.features else "synthetic:iid"
    assert found(model, probes, data=data)[0] - {"gradient-absent-at-start"} == rules


def test_a_start_from_which_a_distance_cannot_be_learned():
    model = build("gru", vocab_size=8, width=16, layers=1)
    rules, report = found(model, GRADIENT, distance=90, length=128)
    assert {"gradient-vanished", "gradient-absent-at-start"} <= rules
    assert report.verdict.headline.endswith("distance 90 is stopped by vanishing gradients.")


def test_order_that_is_not_used_is_told_from_order_that_is():
    rules, _ = found(broken.bag(), ("order",), length=128, sequences=64, data=None)
    assert "order-unused" in rules
    rules, _ = found(zoo.markov(3), ("order",), length=128, sequences=64, data=None)
    assert "order-unused" not in rules


@pytest.mark.parametrize(("width", "steps", "small"), [(4, 250, True), (32, 350, False)])
def test_a_state_that_is_too_small_is_told_from_one_that_holds_what_it_needs(width, steps, small):
    model = broken.learned_to_delay(width, steps)
    probes = ("bottleneck", "capacity", "position")
    rules, report = found(model, probes, distance=4, sequences=64)
    assert ("state-too-small" in rules) == small
    assert ("too small or undertrained" in report.verdict.headline) == small
    assert ("distance 4 is used" in report.verdict.headline) == (not small)


def test_weights_that_are_not_finite_are_found_in_a_live_model():
    model = build("lstm", vocab_size=8, width=16, layers=1)
    nn.init.constant_(model.rnn.weight_ih_l0, torch.nan)
    rules, report = found(model, GRADIENT)
    assert rules == {"weights-not-finite"}
    assert report.verdict.status == "problem"
    assert (
        report.verdict.headline == "The outputs are not finite: NaN or infinity in 1 of 7 tensors."
    )
    assert report.model.nonfinite == ("rnn.weight_ih_l0",)
