"""What is concluded about the steps that a forecaster is given."""

import pytest

import seqprobe
from seqprobe.contracts import Estimate, Measurement, Null
from seqprobe.diagnosis.case import Case
from seqprobe.diagnosis.context import context_unused
from seqprobe.diagnosis.diagnose import diagnose
from seqprobe.diagnosis.look_back import RULES
from seqprobe.diagnosis.verdict import verdict
from seqprobe.diagnosis.wording import in_steps
from seqprobe.reference.forecasters import lag_forecaster

NULL = Null("the whole past kept", 1.0)
NEVER = Estimate.missing("tokens", "even the last 168 tokens ..", low=168.0, null=NULL, exact=True)


def between(low, value, high):
    return Estimate(value, "tokens", low=low, high=high, n=32, null=NULL)


def case(needed, *, trained=336.0, length=512, **more):
    context = {
        "effective_length": needed,
        "share_of_length": between(0.01, 0.05, 0.1),
        "bits_from_context": between(0.5, 1, 2),
    }
    window = {"trained_length": Estimate(trained, "tokens", exact=True)}
    measured = {
        "context": Measurement("", context, "effective_length"),
        **({"window": Measurement("", window, "trained_length")} if trained else {}),
    }
    known = {"real": True, "family": "recurrent", "length": length}
    return Case(measured, 100, **known | more)


@pytest.mark.parametrize(
    ("seen", "fires"),
    [
        (case(between(20, 31, 40)), {"look-back-unused": "attention"}),
        (case(between(120, 140, 167)), {"look-back-unused": "attention"}),
        (case(between(120, 140, 168)), {}),
        (case(between(120, 140, 167), trained=0), {"look-back-unused": "info"}),
        (case(between(20, 31, 99), trained=0), {"look-back-unused": "attention"}),
        (case(between(169, 200, 240)), {"look-back-used": "fine"}),
        (case(NEVER), {"look-back-used": "fine"}),
        (case(between(20, 31, 40), family="memoryless"), {}),
        (case(between(20, 31, 40), real=False), {}),
        (case(Estimate.missing("tokens", "no forecasts")), {}),
    ],
)
def test_a_rule_fires_where_the_interval_clears_half_of_the_steps(seen, fires):
    assert {found.rule: found.status for rule in RULES for found in rule(seen)} == fires


def test_it_is_said_in_the_words_of_those_who_ask():
    (trained,) = (found for rule in RULES for found in rule(case(between(20, 31, 40))))
    assert trained.statement == "The model uses 31 of the 336 steps it is given."
    assert trained.remedy.startswith("Shorten the look-back to 40 steps")
    (here,) = (f for rule in RULES for f in rule(case(between(20, 31, 40), trained=0)))
    assert here.statement.endswith("31 of the 512 steps it is given, as many as the analysis gives "
                                   "it.")  # fmt: skip
    (all_of_it,) = (f for rule in RULES for f in rule(case(between(340, 400, 500))))
    assert all_of_it.statement == "The model uses 336 of the 336 steps it is given."
    (at_least,) = (f for rule in RULES for f in rule(case(NEVER)))
    assert at_least.statement == "The model uses more than 168 of the 336 steps it is given."
    for found in (trained, here, all_of_it, at_least):
        assert found.falsified_by.endswith(".")
        assert found.threshold


def test_the_rule_for_tokens_is_kept_apart_and_the_verdict_begins_with_it():
    seen = case(between(20, 31, 40))
    assert list(context_unused(seen)) == []
    findings = diagnose(seen)
    assert findings[0].rule == "look-back-unused"
    said = verdict(seen, findings)
    assert said.startswith("The model uses 31 of the 336 steps it is given; ")
    tokens = case(between(20, 31, 40), real=False)
    assert verdict(tokens, diagnose(tokens)).startswith("The last 31 tokens predict like")


def test_words_and_units_are_steps_and_names_stay():
    found = in_steps(diagnose(case(between(20, 31, 40)))[0])
    assert found.evidence.unit == "steps"
    said = Measurement(
        "Tokens; a token's", {"per_token": Estimate(1.0, "bytes/token", exact=True)}, "per_token"
    )
    worded = in_steps(said)
    assert worded.headline == "Steps; a step's"
    assert list(worded.metrics) == [worded.key] == ["per_token"]
    assert worded.metrics["per_token"].unit == "bytes/step"


@pytest.mark.parametrize(("lag", "rule"), [(4, "look-back-unused"), (40, "look-back-used")])
def test_a_forecaster_with_a_known_lag(lag, rule):
    model = lag_forecaster(lag)
    model.trained_length = 64
    report = seqprobe.analyze(
        model, data=f"synthetic:lag-{lag}", probes=("context", "window"), length=128, limit=16,
        distance=lag - 1,
    )  # fmt: skip
    (found,) = [each for each in report.findings if each.rule.startswith("look-back")]
    assert found.rule == rule
    assert found.statement == f"The model uses {lag} of the 64 steps it is given."
    assert (found.statement[:-1] in report.verdict.headline) == (rule == "look-back-unused")
