"""The sentence at the top: what it says of every combination of measurements, and what never."""

import re

import pytest
import torch

import seqprobe
from seqprobe.contracts import Estimate, Measurement, Null
from seqprobe.diagnosis.case import Case
from seqprobe.diagnosis.diagnose import diagnose
from seqprobe.diagnosis.verdict import verdict
from seqprobe.reference.language_models import build

NULL = Null("nothing", 0.0, None, 0.0)


def about(value, **more):
    """Within a tenth of it."""
    ends = sorted((0.9 * value, 1.1 * value))
    return Estimate(value, "", low=ends[0], high=ends[1], n=32, null=NULL, **more)


def at_least(low):
    return Estimate.missing("steps", "longer than measured", low=low, null=NULL)


def exactly(steps):
    return Estimate(float(steps), "steps", exact=True)


def still(steps):
    return Estimate.missing("steps", "still there", low=float(steps), exact=True)


def said(family="recurrent", predicts=None, distance=100, **metrics):
    """Of metrics such as `position__horizon=...`."""
    checks = {}
    for name, estimate in metrics.items():
        check, metric = name.split("__")
        checks.setdefault(check.replace("_", "-"), {})[metric] = estimate
    measured = {id: Measurement("", of, next(iter(of))) for id, of in checks.items()}
    case = Case(measured, distance, family, predicts=predicts)
    return verdict(case, diagnose(case))


USE = {"position__horizon": about(20.0)}
STORED = {"bottleneck__horizon": about(69.0)}
VANISHED = {"gradient_decay__horizon": about(46.0), "gradient_decay__at_distance": about(1e-5)}
ARRIVES = {"gradient_decay__horizon": at_least(192.0), "gradient_decay__at_distance": about(0.1)}
WEAKLY = {"gradient_decay__horizon": at_least(192.0), "gradient_decay__at_distance": about(5e-3)}
IN_REACH = {"path_length__reach": still(127)}
EMPTY = about(0.0, ceiling=3.0)


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (
            {**IN_REACH, **VANISHED, **USE, **STORED},
            "Predictions use about the last 20 tokens, though the state keeps something of 69; "
            "distance 100 is stopped by vanishing gradients.",
        ),
        (
            {**IN_REACH, **WEAKLY, **USE, "bottleneck__horizon": about(17.0)},
            "Predictions use about the last 20 tokens, and the state keeps something of 17; "
            "distance 100 is in reach, but no single token there is used.",
        ),
        (
            {**IN_REACH, **WEAKLY, "context__effective_length": about(40.0)},
            "The last 40 tokens predict like the whole past; distance 100 is in reach, but what "
            "lies there is not used.",
        ),
        (
            {**IN_REACH, **VANISHED, **USE, **STORED, "position__horizon_ahead": about(9.0)},
            "Predictions use about the last 20 tokens, and about the next 9; looking back, "
            "distance 100 is stopped by vanishing gradients.",
        ),
        (
            {**USE, "position__horizon_ahead": about(0.0)},
            "Predictions use about the last 20 tokens, and nothing ahead; looking back, no single "
            "token at distance 100 is used.",
        ),
        (
            {**VANISHED, "gradient_decay__horizon_ahead": at_least(192.0)},
            "The gradient reaches about 46 steps back, and at least 192 ahead; looking back, "
            "distance 100 is stopped by vanishing gradients.",
        ),
        (
            {"bottleneck__horizon": about(69.0), "bottleneck__horizon_ahead": about(1.0)},
            "The state keeps something of the last 69 steps, and of nothing ahead; looking back, "
            "what stops distance 100 cannot be told from what was measured.",
        ),
        (
            {"path_length__reach": exactly(127), "path_length__reach_ahead": exactly(7)},
            "A change reaches the output up to 127 steps later, and up to 7 steps earlier; "
            "looking back, distance 100 is in reach.",
        ),
        (
            {**USE, "context__effective_length": about(40.0)},
            "Predictions use about the last 20 tokens; what lies at distance 100 is not used.",
        ),
        (
            USE,
            "Predictions use about the last 20 tokens; no single token at distance 100 is used.",
        ),
        (
            {"position__horizon": at_least(120.0), "position__at_distance": about(0.3)},
            "Predictions use at least the last 120 tokens; distance 100 is used.",
        ),
        (
            {**USE, "context__loss_at_distance": about(0.05)},
            "Predictions use about the last 20 tokens; distance 100 is used.",
        ),
        (
            {"position__horizon": about(0.0), "bottleneck__horizon": about(1.0)},
            "Predictions use the present token alone, and nothing of the past could be read from "
            "the state; no single token at distance 100 is used.",
        ),
        (
            {"position__horizon": about(1.2), "path_length__reach": exactly(1)},
            "Predictions use the last token or two; distance 100 is out of reach: nothing further "
            "back than 1 step changes the output.",
        ),
        (
            {"position__horizon": about(0.0), "path_length__reach": exactly(0)},
            "Predictions use the present token alone; distance 100 is out of reach: no earlier "
            "input changes the output.",
        ),
        (
            {"path_length__reach": exactly(40), "gradient_decay__at_distance": about(1e-12)},
            "A change reaches the output up to 40 steps later; what comes from distance 100 fades "
            "below the last bit of the output.",
        ),
        (
            VANISHED,
            "The gradient reaches about 46 steps back; distance 100 is stopped by vanishing "
            "gradients.",
        ),
        (
            ARRIVES,
            "The gradient reaches at least 192 steps back; distance 100 is within that.",
        ),
        (
            {"gradient_decay__horizon": about(0.0), "gradient_decay__at_distance": about(0.0)},
            "No gradient arrives from before the present step; distance 100 is stopped by "
            "vanishing gradients.",
        ),
        (
            {
                "gradient_decay__horizon": at_least(192.0),
                "gradient_decay__rate": about(-0.2),
                "gradient_decay__steady_rate": about(-0.2),
            },
            "The gradient reaches at least 192 steps back; learning over distance 100 is stopped "
            "by exploding gradients.",
        ),
        (
            {**ARRIVES, **STORED, "bottleneck__bits_at_distance": EMPTY},
            "The gradient reaches at least 192 steps back, and the state keeps something of 69; "
            "the gradient arrives from distance 100, but the state does not keep what is there.",
        ),
        (
            {
                **USE,
                "bottleneck__horizon": at_least(128.0),
                "bottleneck__bits_at_distance": about(1.0, ceiling=3.0),
                "position__at_distance": about(1e-5),
            },
            "Predictions use about the last 20 tokens, though the state keeps something of at "
            "least 128; what lies 100 steps back is in the state, and not used.",
        ),
        (
            {
                "position__horizon": at_least(120.0),
                "bottleneck__bits_at_distance": about(0.5, ceiling=3.0),
                "position__at_distance": about(0.3),
                "capacity__bits": about(8.0),
                "capacity__bits_per_state_float": about(1.0),
            },
            "Predictions use at least the last 120 tokens; distance 100 is kept only in part, by "
            "a state that is too small or undertrained.",
        ),
        (
            STORED,
            "The state keeps something of the last 69 steps; what stops distance 100 cannot be "
            "told from what was measured.",
        ),
        (
            IN_REACH,
            "A change reaches the output at least 127 steps later; distance 100 is in reach.",
        ),
        (
            {"context__effective_length": at_least(128.0)},
            "Predictions need more than the last 128 tokens; what stops distance 100 cannot be "
            "told from what was measured.",
        ),
        ({"memory__state_bytes": exactly(8)}, ""),
        ({}, ""),
    ],
)
def test_what_is_said(metrics, sentence):
    assert said(**metrics) == sentence


def test_of_attention_the_vector_of_one_position_is_not_the_memory():
    assert "state" not in said(family="attention", **USE, **STORED)


def test_a_model_that_has_learned_nothing_of_the_data_is_said_to():
    sentence = said(predicts=False, **USE, **VANISHED)
    assert sentence == (
        "It predicts no better than token frequencies do: predictions use about the last 20 "
        "tokens; distance 100 is stopped by vanishing gradients."
    )
    assert said(predicts=True, **USE, **VANISHED) == said(**USE, **VANISHED)


def test_series_of_numbers_have_no_tokens():
    assert "token" not in said(**IN_REACH, **WEAKLY, **STORED)


@pytest.mark.parametrize("dropped", range(5))
def test_every_number_is_that_of_a_measurement(dropped):
    parts = [IN_REACH, VANISHED, USE, STORED, {"position__at_distance": about(1e-5)}]
    kept = {name: of for index, part in enumerate(parts) if index != dropped
            for name, of in part.items()}  # fmt: skip
    known = {100} | {round(n) for of in kept.values() for n in (of.value, of.low) if n is not None}
    assert {int(number) for number in re.findall(r"\d+", said(**kept))} <= known


def test_a_wide_interval_stops_nothing():
    wide = Estimate(1e-5, "", low=1e-8, high=0.1, n=32, null=NULL)
    sentence = said(**USE, **{**VANISHED, "gradient_decay__at_distance": wide})
    assert sentence.endswith("; no single token at distance 100 is used.")


def test_a_model_is_held_against_token_frequencies(tmp_path):
    """Of a text with two letters no untrained model knows that there are no others."""
    text = tmp_path / "letters.txt"
    text.write_bytes(bytes(97 + int(bit) for number in range(400) for bit in f"{number:09b}"))
    torch.manual_seed(0)
    model = build("gru", vocab_size=256, width=8, layers=1)
    report = seqprobe.analyze(
        model, data=str(text), probes=("gradient-decay",), length=32, distance=8, limit=2
    )
    assert report.verdict.headline.startswith("It predicts no better than token frequencies do: ")


def test_findings_of_what_was_measured_both_ways_say_that_they_look_back():
    metrics = {"at_distance": about(1e-5), "at_distance_ahead": about(0.1)}
    for ahead, start in ((False, "The gradient hardly"), (True, "Looking back: The gradient")):
        kept = metrics if ahead else {"at_distance": metrics["at_distance"]}
        case = Case({"gradient-decay": Measurement("", kept, "at_distance")}, 100)
        assert diagnose(case)[0].statement.startswith(start)
