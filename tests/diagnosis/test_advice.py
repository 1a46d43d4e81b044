"""Advice is given where intervals lie apart, and nowhere else."""

from dataclasses import replace

import pytest

from seqprobe.contracts import Estimate, Finding, Null, Series
from seqprobe.diagnosis.advice import NOBODY, advice, headline
from seqprobe.records import Advice, Check, DataRecord, Environment, ModelRecord, Verdict
from seqprobe.report import Report


def report(name, metrics, tables=(), findings=()):
    """A report with nothing but these numbers, by check and metric."""
    checks = {}
    for full, estimate in metrics.items():
        check, metric = full.split(".")
        checks.setdefault(check, {})[metric] = estimate
    return Report(
        created="", command=(), distance=100,
        environment=environment(),
        model=ModelRecord(name, "recurrent", 1, (), {}),
        data=DataRecord("text", "ab", "bytes", 4, 1024),
        verdict=Verdict("info", "", {}),
        findings=tuple(findings),
        checks=tuple(Check(id, 1, id, "?", "info", "", metrics=m) for id, m in checks.items()),
        figures=(), tables=tuple(tables),
    )  # fmt: skip


def environment():
    words = dict.fromkeys(
        ("seqprobe", "python", "torch", "captum", "numpy", "scipy", "seaborn", "platform"), "1"
    )
    return Environment(
        **words, device="cpu", dtype="float32", threads=1, seed=0, deterministic=True
    )


def bits(value, low, high):
    return Estimate(value, "bits", low, high, n=32, null=Null("nothing", 0.0))


def exact(value, unit="bytes"):
    return Estimate(float(value), unit, exact=True)


def line(found, purpose):
    (told,) = [each for each in found if each.purpose.startswith(purpose)]
    return told


def used(*ends):
    names = "abc"
    return advice(
        [report(n, {"position.at_distance": bits(*e)}) for n, e in zip(names, ends, strict=False)]
    )


def test_the_model_that_lies_above_all_others_is_named():
    told = line(used((0.1, 0.05, 0.15), (0.5, 0.4, 0.6)), "use of the past 100 steps back")
    assert told.models == ("b",)
    assert told.decided


def test_overlapping_intervals_decide_nothing():
    told = line(used((0.1, 0.05, 0.45), (0.5, 0.4, 0.6)), "use")
    assert told.models == ("a", "b")
    assert not told.decided


def test_those_that_only_overlap_each_other_are_named_together():
    told = line(used((0.1, 0.05, 0.15), (0.5, 0.4, 0.6), (0.55, 0.45, 0.65)), "use")
    assert told.models == ("b", "c")


def test_what_is_not_shown_to_be_there_is_no_advantage():
    told = line(used((-0.3, -0.4, -0.2), (0.01, -0.05, 0.07)), "use")
    assert told.models == ()
    assert not told.decided


def test_what_is_not_known_is_neither_ahead_nor_behind():
    known, unknown = bits(0.5, 0.4, 0.6), Estimate.missing("bits", "no predictions")
    both = [report(n, {"position.at_distance": e}) for n, e in (("a", known), ("b", unknown))]
    assert advice(both) == ()


def memory(name, state, per_token, **more):
    found = {"memory.state_bytes": exact(state), "memory.cache_bytes_per_token": exact(per_token)}
    return report(name, found | more.pop("metrics", {}), **more)


def test_only_what_does_not_grow_is_for_streams():
    told = advice([memory("a", 2000, 0), memory("b", 0, 10), memory("c", 4000, 0)])
    assert line(told, "streams").models == ("a", "c")
    both_grow = advice([memory("a", 0, 20), memory("b", 0, 10)])
    assert line(both_grow, "streams").models == ()


def test_memory_is_counted_at_the_length_read_or_needed():
    told = line(advice([memory("a", 4000, 0), memory("b", 0, 10)]), "memory at 256 tokens")
    assert told.models == ("b",)
    need = finding("need-length", "fine", exact(8192, "tokens"))
    both = [memory(n, s, t, findings=[need]) for n, s, t in (("a", 4000, 0), ("b", 0, 10))]
    told = line(advice(both), "memory at 8,192 tokens")
    assert told.models == ("a",)
    assert told.evidence["b"] == exact(81920)


def test_costs_that_are_nearly_the_same_are_the_same():
    told = line(advice([memory("a", 4000, 0), memory("b", 4020, 0)]), "memory at")
    assert told.models == ("a", "b")


def test_a_model_that_does_not_take_the_length_is_behind():
    refuses = {"window.refused_length": exact(200, "tokens")}
    told = advice([memory("a", 4000, 0), memory("b", 0, 10, metrics=refuses)])
    assert line(told, "memory at 256").models == ("a",)
    assert line(told, "memory at 256").evidence["b"].reason == "it takes no 200 tokens"
    assert line(told, "streams").models == ("a",)


def timed(name, per_token, spread=0.1):
    rows = {"length": [16, 64, 256]}
    for way in ("forward", "training"):
        seconds = [per_token * n for n in rows["length"]]
        rows[f"{way}_seconds"] = seconds
        rows[f"{way}_low"] = [s * (1 - spread) for s in seconds]
        rows[f"{way}_high"] = [s * (1 + spread) for s in seconds]
    return report(name, {}, tables=[Series.of("throughput", rows)])


def test_the_faster_one_is_named_at_the_lengths_that_both_have():
    told = advice([timed("a", 1e-3), timed("b", 2e-3)])
    assert [each.purpose for each in told] == [
        "speed at 16 tokens", "speed at 256 tokens", "training speed at 256 tokens",
    ]  # fmt: skip
    assert {each.models for each in told} == {("a",)}
    assert not any(each.decided for each in advice([timed("a", 1e-3), timed("b", 1.1e-3)]))


def test_bits_of_other_texts_and_seconds_of_other_machines_are_not_held_against_each_other():
    one, other = (
        replace(timed(n, seconds), checks=report(n, {"position.at_distance": use}).checks)
        for n, seconds, use in (
            ("a", 1e-3, bits(0.1, 0.05, 0.15)),
            ("b", 2e-3, bits(5.0, 4.0, 6.0)),
        )
    )
    assert len(advice([one, other])) == 4
    text = replace(other, data=replace(other.data, tokenizer="words"))
    assert not any(each.metric.startswith("position") for each in advice([one, text]))
    gpu = replace(other, environment=replace(other.environment, device="cuda:0"))
    assert [each.metric for each in advice([one, gpu])] == ["position.at_distance"]


def finding(rule, status, evidence):
    return Finding(rule, "memory", status, "", "length", evidence, "", "theory", "", "", "")


def test_what_the_user_needs_comes_first():
    fits, not_ = (finding("need-streaming", s, exact(0)) for s in ("fine", "problem"))
    both = [memory("a", 1, 0, findings=[fits]), memory("b", 1, 9, findings=[not_])]
    assert advice(both)[0].purpose == "the streaming that you need"
    assert advice(both)[0].models == ("a",)
    unknown = finding("need-streaming", "info", exact(0))
    told = advice([both[0], replace(both[1], findings=(unknown,))])
    assert not any("need" in each.purpose for each in told)


def test_the_headline_names_each_group_once():
    def told(purpose, *models):
        return Advice(purpose, "x.y", models, dict.fromkeys("abc", exact(1)))

    said = headline(
        [told("one", "a"), told("two", "b", "c"), told("three", "a"), told("no", *"abc")]
    )
    assert said == "Ahead by what was measured: a in one and three; b and c in two."
    assert headline([told("no", *"abc")]) == headline([]) == NOBODY


@pytest.mark.parametrize("count", [0, 1])
def test_one_model_needs_no_advice(count):
    assert advice([memory("a", 1, 0)] * count) == ()
