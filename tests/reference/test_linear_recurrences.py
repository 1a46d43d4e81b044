"""One recurrence in three forms: the same answers, at different depths, and closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import seqprobe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.reference import linear_recurrences as linear
from seqprobe.reference.language_models import build
from seqprobe.reference.min_recurrences import MINIMAL, MinLM, constant_gate, constant_gate_factor

REAL, COMPLEX = (0.9, 0.5), (0.9, 0.5, 0.6 + 0.5j)
LENGTHS = (16, 32, 64, 128, 256)
OPERATORS = {
    "steps": lambda n: 2 * n,
    "scan": lambda n: 2 * math.log2(n),
    "convolution": lambda _: 1,
}
HOPS = {"steps": lambda k: k, "scan": lambda k: k.bit_count(), "convolution": lambda k: min(k, 1)}


def column(report, probe, name):
    return np.array(report.table(report[probe].tables[0]).column(name), dtype=float)


def depth(model, length):
    return model.trace(model.example(1, length)).depth


@pytest.mark.parametrize("form", linear.FORMS)
@pytest.mark.parametrize("lambdas", [REAL, COMPLEX], ids=["real", "complex"])
def test_each_form_is_the_recurrence(lambdas, form, double):
    """Held against a loop over numbers of Python."""
    model = linear.diagonal(lambdas, form)
    inputs = model.example(1, 21)
    states, found = [0j] * len(lambdas), []
    for x in inputs[0, :, 0].tolist():
        states = [a * h + x for a, h in zip(lambdas, states, strict=True)]
        found.append([h.real for h in states] + [h.imag for h in states])
    assert (model(inputs)[0] - torch.tensor(found)).abs().max() < 1e-13


@pytest.mark.parametrize("form", linear.FORMS)
def test_gradient_and_bits_have_a_closed_form(form, show, double):
    """The bits to what 64 sequences can tell."""
    model = linear.diagonal(COMPLEX, form)
    curve = show(model, GradientDecay(20, exact=True), sequences=4, time=64).series[0]
    k = np.array(curve.column("distance"))[:21]
    truth = np.sqrt(sum(abs(a) ** (2 * k) for a in COMPLEX) / len(COMPLEX))
    assert curve.column("relative")[:21] == pytest.approx(truth, abs=1e-12)
    kept = show(model, Bottleneck(20), sequences=64).series[0]
    bits = linear.diagonal_bits(COMPLEX, np.array(kept.column("distance")))
    assert np.array(kept.column("estimate")) == pytest.approx(bits, abs=0.02)


def test_bits_are_those_of_a_leaky_integrator_and_add_up_to_the_numbers_of_the_state():
    """1 - 2^(-2 bits) is the share of an input that the state explains."""
    a, k = 0.9, np.arange(30)
    of_one = -0.5 * np.log2(1 - a ** (2 * k) * (1 - a**2))
    assert linear.diagonal_bits([a], k) == pytest.approx(of_one, rel=1e-12)
    shares = 1 - 2 ** (-2 * linear.diagonal_bits(COMPLEX, np.arange(400)))
    assert shares.sum() == pytest.approx(4)


@pytest.mark.parametrize("form", linear.FORMS)
def test_depth_and_hops_are_those_of_the_form(form):
    """Two more operators: into the states and out of them."""
    model = linear.diagonal_lm(COMPLEX, form)
    depths = [depth(model, n) for n in LENGTHS]
    extra = {"steps": 0, "scan": 2, "convolution": 2}[form]
    assert depths == [OPERATORS[form](n) + extra for n in LENGTHS]
    found = model.trace(model.example(1, 40), [0])
    assert found.crossings[:, 0].tolist() == [HOPS[form](k) for k in range(40)]
    assert found.without_rule == ()


def forms_of(make, forms):
    """The same weights in several forms."""
    models = {form: make(form) for form in forms}
    first = next(iter(models.values())).module.state_dict()
    for model in models.values():
        model.module.load_state_dict(first)
    return models


FAMILIES = {
    "diagonal": (lambda form: linear.diagonal_lm(COMPLEX, form), tuple(linear.FORMS)),
    **{
        kind: (
            lambda form, kind=kind: SequenceModel(MinLM(kind, 8, 6, layers=2, form=form)),
            ("steps", "scan"),
        )
        for kind in MINIMAL
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_forms_agree_on_decay_storage_and_use(family):
    reports = {
        form: seqprobe.analyze(
            model, data="synthetic:iid", probes=("gradient-decay", "bottleneck", "position"),
            length=32, limit=8, distance=6,
        )
        for form, model in forms_of(*FAMILIES[family]).items()
    }  # fmt: skip
    first, *others = reports.values()
    for probe, name in (
        ("gradient-decay", "relative"),
        ("bottleneck", "lower_bound"),
        ("position", "kl_bits"),
    ):
        curve = column(first, probe, name)
        assert np.nanmax(np.abs(curve[1:])) > 1e-3
        for other in others:
            assert column(other, probe, name) == pytest.approx(curve, abs=2e-4, nan_ok=True)


@pytest.mark.parametrize("kind", MINIMAL)
def test_minimal_recurrences_agree_in_all_forms_and_differ_in_depth(kind):
    by_steps, by_scan = forms_of(
        lambda form: constant_gate(kind, 0.3, form), ("steps", "scan")
    ).values()
    for parameter in by_steps.module.parameters():
        torch.nn.init.normal_(parameter)
    by_scan.module.load_state_dict(by_steps.module.state_dict())
    tokens = by_steps.example(3, 100)
    assert (by_steps(tokens) - by_scan(tokens)).abs().max() < 1e-5
    assert np.diff([depth(by_steps, n) for n in LENGTHS]).tolist() == [2 * n for n in LENGTHS[:-1]]
    assert np.diff([depth(by_scan, n) for n in LENGTHS]).tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("form", ["steps", "scan"])
@pytest.mark.parametrize("kind", MINIMAL)
@pytest.mark.parametrize("b", [-1.0, 2.0])
def test_constant_gates_keep_a_constant_share(kind, form, b, show, double):
    model = constant_gate(kind, b, form)
    curve = show(model, GradientDecay(20), sequences=4, time=64).series[0].column("relative")
    truth = constant_gate_factor(kind, b) ** np.arange(len(curve))
    assert curve[:21] == pytest.approx(truth[:21], abs=1e-12)


def test_a_minimal_gru_learns_to_repeat_the_last_but_one():
    """Two layers on a residual stream, from chance, 2 bits, to less than half of it."""
    model = build("mingru", vocab_size=4, width=16, layers=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(100):
        tokens = torch.randint(4, (32, 16))
        loss = F.cross_entropy(model(tokens)[:, 2:].flatten(0, 1), tokens[:, :-2].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss / math.log(2) < 1
