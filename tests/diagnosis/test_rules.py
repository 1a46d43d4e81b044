"""Rules fire on intervals that clear their threshold, and on nothing else."""

from dataclasses import replace

import pytest

import seqprobe
from seqprobe.contracts import Estimate, Measurement, Null
from seqprobe.diagnosis.case import Case, Demands, above, below
from seqprobe.diagnosis.diagnose import ORDER, diagnose, status_of
from seqprobe.reference import zoo

NULL = Null("nothing", 0.0, None, 0.0)


def between(low, value, high, **more):
    return Estimate(value, "", low=low, high=high, n=32, null=NULL, **more)


def case(family="recurrent", nonfinite=(), **metrics):
    """Metrics as `gradient_decay__at_distance=...`."""
    checks: dict[str, dict[str, Estimate]] = {}
    for name, estimate in metrics.items():
        check, metric = name.split("__")
        checks.setdefault(check.replace("_", "-"), {})[metric] = estimate
    measured = {id: Measurement("", found, next(iter(found))) for id, found in checks.items()}
    return Case(measured, 100, family, nonfinite)


def rules(**metrics):
    return {finding.rule for finding in diagnose(case(**metrics))}


def on_data(readable, remembered):
    return {
        "bottleneck__bits_at_distance_data": between(*readable),
        "bottleneck__conditional_at_distance_data": between(*remembered),
    }


def recalled(half):
    """Of 20 bits, at least."""
    return {
        "capacity__bits": between(20, 21, 22),
        "capacity__at_half_the_sequences": between(*half),
    }


def carried(error=0.0, gain=(0.0, 0.0, 0.0), call=0.0, row=0.0, rounding=8e-6):
    def exact(value):
        return value if isinstance(value, Estimate) else Estimate(value, "", exact=True)

    return {
        "carry_over__gain_bits": between(*gain),
        "carry_over__equivalence_error": exact(error),
        "carry_over__call_leakage": exact(call),
        "carry_over__row_leakage": exact(row),
        "carry_over__rounding": exact(rounding),
    }


def growing(rate, steady):
    """The upper ends of the intervals of both rates."""
    return {
        "gradient_decay__rate": between(-0.3, -0.2, rate),
        "gradient_decay__steady_rate": between(-0.3, -0.2, steady),
    }


def part(bits=(0.5, 0.8, 1.4), use=(0.02, 0.1, 0.2), held=(20, 21, 22), density=(0.6, 0.7, 0.8)):
    """A part of what lies at the distance is kept, and used, by a full state."""
    return {
        "bottleneck__bits_at_distance": between(*bits, ceiling=3.0),
        "position__at_distance": between(*use),
        "capacity__bits": between(*held),
        "capacity__bits_per_state_float": between(*density),
    }


def gradients(now, before):
    return {
        "gradient_decay__at_distance": between(0, now / 2, now),
        "gradient_decay__at_distance_untrained": between(0, before / 2, before),
    }


READABLE, LIMITED = "readable-not-remembered", "capacity-limited-by-read-out"
NO_STATE = Estimate.missing("", "every call starts empty")
NOWHERE = between(0.0, 0.0, 0.0)
EXACT_50 = Estimate(50.0, "steps", exact=True)
EXACT_500 = Estimate(500.0, "steps", exact=True)


@pytest.mark.parametrize(
    ("metrics", "fires"),
    [
        ({"window__extrapolation_ratio": between(1.06, 1.2, 1.4)}, {"harmful-beyond-trained"}),
        ({"window__extrapolation_ratio": between(1.04, 1.2, 1.4)}, set()),
        ({"window__extrapolation_ratio": between(0.98, 1.0, 1.04)}, {"reads-on"}),
        ({"window__extrapolation_ratio": between(0.98, 1.0, 1.06)}, set()),
        ({"window__refused_length": Estimate(257.0, "", exact=True)}, {"length-refused"}),
        ({"window__refused_length": Estimate.missing("", "none", low=1024.0, exact=True)}, set()),
        ({"window__reach": EXACT_50}, {"out-of-reach"}),
        ({"window__reach": EXACT_500}, set()),
        ({"window__reach": EXACT_50, "path_length__reach": EXACT_50}, {"out-of-reach"}),
        ({"window__reach": EXACT_50, "path_length__reach": EXACT_500}, set()),
        ({"window__reach": EXACT_500, "path_length__reach": EXACT_50}, set()),
        (carried(error=2e-3), {"chunks-differ"}),
        (carried(error=5e-4), set()),
        (carried(error=2e-3, rounding=0.5), set()),
        (carried(error=NO_STATE, gain=(0.1, 0.2, 0.3)), {"state-thrown-away"}),
        (carried(error=NO_STATE, gain=(0.0, 0.2, 0.3)), set()),
        (carried(error=1e-7, gain=(0.1, 0.2, 0.3)), set()),
        (carried() | {"carry_over__chunk_error": EXACT_50}, {"only-single-steps"}),
        (carried(rounding=99.0) | {"carry_over__chunk_error": EXACT_50}, set()),
        (carried(call=1e-4), {"call-leakage"}),
        (carried(call=1e-6), set()),
        (carried(row=1e-4), {"row-leakage"}),
        (carried(row=1e-4, rounding=0.5), set()),
        ({"gradient_decay__at_distance": between(1e-9, 1e-8, 1e-7)}, {"gradient-vanished"}),
        ({"gradient_decay__at_distance": between(1e-5, 1e-4, 9e-4)}, {"gradient-vanished"}),
        ({"gradient_decay__at_distance": between(1e-5, 1e-4, 2e-3)}, set()),
        ({"gradient_decay__at_distance": between(2e-2, 3e-2, 4e-2)}, {"gradient-arrives"}),
        ({"gradient_decay__at_distance": between(5e-3, 3e-2, 4e-2)}, set()),
        (growing(rate=-0.1, steady=-0.1), {"gradient-explodes"}),
        (growing(rate=0.1, steady=-0.1), set()),
        (growing(rate=-0.1, steady=-0.04), set()),
        ({"gradient_decay__rate": between(-0.3, -0.2, -0.1)}, set()),
        (gradients(9e-4, 9e-7), {"gradient-vanished", "gradient-absent-at-start"}),
        (gradients(9e-4, 2e-6), {"gradient-vanished"}),
        (gradients(2e-3, 9e-7), set()),
        (
            {"gradient_decay__at_distance": NOWHERE, "path_length__reach": EXACT_50},
            {"out-of-reach"},
        ),
        (
            {**gradients(9e-7, 9e-7), "path_length__reach": EXACT_50},
            {"out-of-reach", "gradient-vanished", "gradient-absent-at-start"},
        ),
        (
            {"gradient_decay__at_distance": between(2, 3, 4), **growing(rate=-0.1, steady=-0.1)},
            {"gradient-explodes"},
        ),
        (part(), {"state-too-small"}),
        (part(bits=(0.5, 0.8, 1.6)), set()),
        (part(use=(0.005, 0.1, 0.2)), set()),
        (part(held=(200, 300, 304)), set()),
        (part(density=(0.4, 0.7, 0.8)), set()),
        ({"jacobian_spectrum__lyapunov_max": between(0.06, 0.1, 0.2)}, {"state-chaotic"}),
        ({"jacobian_spectrum__lyapunov_max": between(0.04, 0.1, 0.2)}, set()),
        ({"jacobian_spectrum__lyapunov_max": between(-0.03, -0.02, -0.011)}, {"state-forgets"}),
        ({"jacobian_spectrum__lyapunov_max": between(-0.03, -0.02, -0.009)}, set()),
        ({"jacobian_spectrum__primacy": between(11, 20, 30)}, {"primacy"}),
        ({"jacobian_spectrum__primacy": between(9, 20, 30)}, set()),
        (
            {
                "weights__forget_bias_max": Estimate(4.5, "", exact=True),
                "gradient_decay__at_distance": between(1e-5, 1e-4, 9e-4),
            },
            {"gates-too-closed", "gradient-vanished"},
        ),
        (
            {
                "weights__forget_bias_max": Estimate(4.6, "", exact=True),
                "gradient_decay__at_distance": between(1e-5, 1e-4, 9e-4),
            },
            {"gradient-vanished"},
        ),
        ({"weights__forget_bias_max": Estimate(1.0, "", exact=True)}, set()),
        ({"path_length__reach": EXACT_50}, {"out-of-reach"}),
        ({"path_length__reach": EXACT_500}, set()),
        (
            {
                "path_length__reach": EXACT_500,
                "gradient_decay__at_distance": between(1e-5, 1e-4, 9e-4),
            },
            {"gradient-vanished", "reachable-but-vanished"},
        ),
        ({"position__horizon": between(20, 30, 40)}, {"unused-beyond"}),
        ({"position__middle_sag": between(0.02, 0.03, 0.04)}, {"middle-sags"}),
        ({"position__middle_sag": between(-0.01, 0.03, 0.04)}, set()),
        ({"position__horizon": between(20, 30, 140)}, set()),
        (
            {
                "bottleneck__bits_at_distance": between(-0.01, 0.0, 0.01, ceiling=3.0),
                "gradient_decay__at_distance": between(2e-2, 3e-2, 4e-2),
            },
            {"trainable-not-stored", "gradient-arrives"},
        ),
        (
            {
                "bottleneck__bits_at_distance": between(-0.01, 0.0, 0.03, ceiling=3.0),
                "gradient_decay__at_distance": between(2e-2, 3e-2, 4e-2),
            },
            {"gradient-arrives"},
        ),
        (
            {
                "bottleneck__bits_at_distance": between(0.5, 0.6, 0.7, ceiling=3.0),
                "position__at_distance": between(0.0, 1e-5, 1e-4),
            },
            {"stored-unused"},
        ),
        (
            {
                "bottleneck__bits_at_distance": between(0.1, 0.6, 0.7, ceiling=3.0),
                "position__at_distance": between(0.0, 1e-5, 1e-4),
            },
            set(),
        ),
        (on_data(readable=(0.11, 0.2, 0.3), remembered=(-0.01, 0.01, 0.04)), {READABLE}),
        (on_data(readable=(0.1, 0.2, 0.3), remembered=(-0.01, 0.01, 0.04)), set()),
        (on_data(readable=(0.11, 0.2, 0.3), remembered=(-0.01, 0.01, 0.05)), set()),
        ({"bottleneck__bits_at_distance_data": between(0.11, 0.2, 0.3)}, set()),
        (
            {
                "bottleneck__bits_at_distance_data": between(0.11, 0.2, 0.3),
                "bottleneck__conditional_at_distance_data": Estimate.missing("bits", "too few"),
            },
            set(),
        ),
        (recalled(half=(16, 17, 18.9)), {LIMITED}),
        (recalled(half=(16, 17, 19)), set()),
        (recalled(half=(19, 20, 21)), set()),
        (
            {
                "capacity__bits": Estimate(20.0, "bits", null=NULL),
                "capacity__at_half_the_sequences": between(1, 2, 3),
            },
            set(),
        ),
    ],
)
def test_a_rule_fires_where_the_interval_clears_its_threshold(metrics, fires):
    assert rules(**metrics) == fires


def test_a_combination_of_quantities_is_called_by_its_name():
    stored = {"bottleneck__bits_at_distance": between(0.5, 0.6, 0.7, ceiling=3.0)}
    empty = {"bottleneck__bits_at_distance": between(-0.01, 0.0, 0.01, ceiling=3.0)}
    there = {"gradient_decay__at_distance": between(2e-2, 3e-2, 4e-2)}
    gone = {"gradient_decay__at_distance": between(1e-5, 1e-4, 9e-4)}
    unused = {"position__at_distance": between(0.0, 1e-5, 1e-4)}
    context = {
        "context__effective_length": between(5, 10, 20),
        "context__share_of_length": between(0.02, 0.04, 0.08),
        "context__bits_from_context": between(0.5, 1.0, 1.5),
    }
    for rule, metrics in {
        "trainable-not-stored": empty | there,
        "stored-unused": stored | unused,
        "reachable-but-vanished": {"path_length__reach": EXACT_500} | gone,
        "context-unused": context,
    }.items():
        name = rule.replace("context", "paid for but").replace("-", " ").split()
        said = finding(rule, **metrics).statement.partition(":")[0].lower().split()
        assert [word for word in said if word != "but"] == [word for word in name if word != "but"]


def test_attention_is_not_blamed_for_what_its_cache_holds():
    metrics = {
        "bottleneck__bits_at_distance": between(-0.01, 0.0, 0.01, ceiling=3.0),
        "gradient_decay__at_distance": between(2e-2, 3e-2, 4e-2),
    }
    assert "trainable-not-stored" not in rules(family="attention", **metrics)
    assert "state-too-small" not in rules(family="attention", **part())


def test_what_is_out_of_reach_may_have_faded_or_have_no_path():
    little = between(1e-9, 1e-8, 1e-7)
    faded = finding("out-of-reach", path_length__reach=EXACT_50, gradient_decay__at_distance=little)
    blocked = finding(
        "out-of-reach", path_length__reach=EXACT_50, gradient_decay__at_distance=NOWHERE
    )
    assert "lost in rounding" in faded.consequence
    assert "forget-gate bias" in faded.remedy
    assert "whatever the data are" in blocked.consequence
    assert "Widen the window" in blocked.remedy


def test_what_is_out_of_reach_stands_where_it_was_measured():
    assert finding("out-of-reach", window__reach=EXACT_50).check == "window"
    both = {"window__reach": Estimate(40.0, "steps", exact=True), "path_length__reach": EXACT_50}
    assert finding("out-of-reach", **both).check == "path-length"


@pytest.mark.parametrize(
    ("dtypes", "keys", "rings"),
    [
        (("bfloat16",), 17, True),
        (("bfloat16",), 16, False),
        (("float16",), 46, True),
        (("float16",), 45, False),
        (("float32",), 4097, True),
        (("float32",), 4096, False),
        (("float16", "float32"), 46, True),
        (("float64",), 10**6, False),
        (("int8",), 10**6, False),
    ],
)
def test_equal_weights_on_more_keys_than_a_number_tells_apart(dtypes, keys, rings):
    made = case(attention__mean_entropy_ratio=between(0.96, 0.98, 0.99))
    for more in ({"length": keys}, {"length": 8, "demands": Demands(length=keys)}):
        found = {each.rule for each in diagnose(replace(made, dtypes=dtypes, **more))}
        assert found - {"need-length"} == ({"low-precision-collapse"} if rings else set())
    spread = case(attention__mean_entropy_ratio=between(0.94, 0.98, 0.99))
    assert not diagnose(replace(spread, dtypes=dtypes, length=keys))


def finding(rule, **metrics):
    return next(found for found in diagnose(case(**metrics)) if found.rule == rule)


def test_what_is_not_stored_alone_may_be_stored_as_a_parity():
    found = finding(
        "trainable-not-stored",
        bottleneck__bits_at_distance=between(-0.01, 0.0, 0.01, ceiling=3.0),
        gradient_decay__at_distance=between(2e-2, 3e-2, 4e-2),
    )
    assert "only in combination with others, as a parity does" in found.consequence
    assert "given the other symbols" in found.falsified_by


def test_correlation_in_the_data_is_not_called_memory():
    found = finding(READABLE, **on_data((0.11, 0.2, 0.3), (-0.01, 0.01, 0.04)))
    assert found.status == "info"
    assert found.statement == (
        "On the data 0.20 bits about the token 100 steps back can be read from the state, but "
        "nearer tokens tell them anyhow."
    )
    assert found.consequence.startswith("No memory is needed for that")
    assert found.evidence.value == 0.01


def test_a_capacity_that_grows_with_the_sequences_is_a_floor():
    found = finding(LIMITED, **recalled(half=(16, 17, 18)))
    assert found.status == "info"
    assert found.check == "capacity"
    assert "Half the sequences recall 17.0 bits from the state, all of them 21.0" in found.statement
    assert "--limit" in found.remedy


def test_weights_that_are_not_finite_come_first():
    found = diagnose(case(nonfinite=("a.weight",), position__horizon=between(20, 30, 40)))
    assert [finding.status for finding in found] == ["problem", "info"]
    assert "a.weight" in found[0].statement


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate(1e-9, "", low=1e-10, high=1e-8),
        Estimate(1e-9, "", null=NULL),
        Estimate.missing("", "not measured"),
    ],
)
def test_no_interval_or_no_null_no_finding(estimate):
    assert rules(gradient_decay__at_distance=estimate) == set()


def test_an_unbounded_side_clears_nothing():
    at_least = Estimate(None, "steps", low=50.0, null=NULL, reason="longer than measured")
    assert above(at_least, 40)
    assert not below(at_least, 1000)
    assert not above(None, 0)


def test_every_finding_says_what_to_do_and_what_would_refute_it():
    found = diagnose(
        case(
            path_length__reach=EXACT_50,
            gradient_decay__at_distance=between(1e-9, 1e-8, 1e-7),
            gradient_decay__rate=between(-0.3, -0.2, -0.1),
            gradient_decay__steady_rate=between(-0.3, -0.2, -0.1),
            position__horizon=between(20, 30, 40),
            **on_data((0.11, 0.2, 0.3), (-0.01, 0.01, 0.04)),
            **recalled(half=(16, 17, 18)),
        )
    )
    assert len(found) == 6
    for finding in found:
        assert finding.statement.endswith(".")
        assert finding.consequence.endswith(".")
        assert finding.remedy
        assert finding.falsified_by
        assert finding.threshold
        assert finding.source in ("theory", "paper", "our convention")
    assert [ORDER.index(f.status) for f in found] == sorted(ORDER.index(f.status) for f in found)
    assert status_of("path-length", found) == "problem"
    assert status_of("bottleneck", found) == "info"


@pytest.mark.parametrize("model", [zoo.memoryless, zoo.orthogonal_rnn, zoo.uniform_attention])
def test_null_models_raise_no_false_alarm(model):
    """What is truly absent may be called out of reach; nothing else may be claimed of it."""
    report = seqprobe.analyze(model(), data="synthetic:iid", length=64, limit=16, distance=20)
    alarms = {finding.rule for finding in report.findings if finding.status == "problem"}
    assert alarms <= {"out-of-reach", "gradient-vanished"}
    if model is not zoo.memoryless:
        assert "gradient-vanished" not in alarms


def test_a_window_limited_model_is_found():
    model = zoo.window_attention(4)
    report = seqprobe.analyze(model, data="synthetic:iid", length=64, limit=8, distance=20)
    assert report.findings[0].rule == "out-of-reach"
    assert "Nothing further back than 3 steps" in report.findings[0].statement
    assert report["path-length"].status == "problem"


def test_sinks_are_told_and_no_defect():
    (finding,) = diagnose(case(attention__sink_rate=between(0.4, 0.5, 0.6)))
    assert (finding.rule, finding.status) == ("attention-sinks", "info")
    assert "50% of the heads rest on the first token" in finding.statement
    assert "keep those of the first tokens" in finding.remedy
    assert not rules(attention__sink_rate=between(0.25, 0.5, 0.6))
    assert not rules(attention__sink_rate=between(0.0, 0.1, 0.2))


def test_sequences_so_short_that_equal_weights_are_sinks_tell_nothing():
    short = Estimate(1.0, "", low=1.0, high=1.0, n=32, null=Null("equal weights", 1.0))
    assert not rules(attention__sink_rate=short)


def test_entropy_collapse_is_below_a_twentieth():
    assert rules(attention__mean_entropy_ratio=between(0.01, 0.02, 0.03)) == {"entropy-collapse"}
    assert not rules(attention__mean_entropy_ratio=between(0.03, 0.04, 0.06))
    assert not rules(attention__mean_entropy_ratio=between(0.4, 0.5, 0.6))


def test_equal_weights_raise_no_finding():
    report = seqprobe.analyze(
        zoo.uniform_attention().module, data="synthetic:iid", probes=("attention",), length=64
    )
    assert not report.findings
