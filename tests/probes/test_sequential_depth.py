"""Depth and work against hand counts."""

import pytest
import torch
from torch import nn

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.sequential_depth import SequentialDepth
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def series(measured, name):
    return list(measured.series[0].column(name))


def test_an_lstm_waits_seven_operators_per_step(show):
    """Product, sum, sigmoid, times, plus, tanh, times: and again."""
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    measured = show(model, SequentialDepth(), sequences=1)
    length, depth = series(measured, "length"), series(measured, "depth")
    assert length == [8, 16, 32, 64, 128]
    assert [d - 7 * n for n, d in zip(length, depth, strict=True)] == [depth[0] - 56] * 5
    assert measured.metrics["exponent"].value == pytest.approx(1, abs=0.05)
    assert measured.metrics["operators_per_token"].value == 7
    assert measured.metrics["operators_per_doubling"].value == 0
    assert measured.headline.endswith("at 128 tokens: step by step, 7 more for each token.")


def test_attention_waits_for_nothing_that_grows(show):
    model = SequenceModel(build("attention", vocab_size=8, width=8, layers=2))
    measured = show(model, SequentialDepth(), sequences=1)
    assert measured.metrics["exponent"].value == 0
    assert len(set(series(measured, "depth"))) == 1
    assert measured.headline.endswith(": all at once, the same from 8 tokens on.")


class Recurrence(nn.Module):
    """h(t) = sigmoid(x(t)) h(t - 1) + x(t), the same numbers in three forms of execution."""

    def __init__(self, execute):
        super().__init__()
        self.execute = execute

    def forward(self, x):
        return self.execute(x.sigmoid(), x)


def loop(decay, x):
    """A product and a sum for each step."""
    state, states = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        state = decay[:, t] * state + x[:, t]
        states.append(state)
    return torch.stack(states, 1)


def scan(decay, x):
    """A product and a sum for each doubling: Parallel prefix sums (Hillis and Steele, 1986)."""
    reach = 1
    while reach < x.shape[1]:
        x = torch.cat([x[:, :reach], x[:, reach:] + decay[:, reach:] * x[:, :-reach]], 1)
        decay = torch.cat([decay[:, :reach], decay[:, reach:] * decay[:, :-reach]], 1)
        reach *= 2
    return x


def whole(decay, x):
    """As one sum over all steps before, weighed by products of decays."""
    far = decay.log().cumsum(1)
    steps = x.shape[1]
    weights = (far[:, :, None] - far[:, None]).exp() * torch.ones(steps, steps).tril()[..., None]
    return (weights * x[:, None]).sum(2)


FORMS = {  # by token, by doubling, and how it is said
    loop: (2, 0, "step by step, 2 more for each token."),
    scan: (0, 2, "as a scan, 2 more for each doubling."),
    whole: (0, 0, "all at once, the same from 4 tokens on."),
}


@pytest.mark.parametrize("execute", FORMS)
def test_the_same_recurrence_in_three_forms_of_execution(execute, show):
    model = SequenceModel(Recurrence(execute), features=3)
    truth = SequenceModel(Recurrence(loop), features=3)
    inputs = model.example(2, 100)
    assert torch.allclose(model(inputs), truth(inputs), atol=1e-5)
    measured = show(model, SequentialDepth(), sequences=1, time=100)
    per_token, per_doubling, said = FORMS[execute]
    assert measured.metrics["operators_per_token"].value == per_token
    assert measured.metrics["operators_per_doubling"].value == per_doubling
    assert f"at 64 tokens: {said}" in measured.headline


def test_what_follows_no_law_is_not_called_a_form(show):
    class Squares(nn.Module):
        def forward(self, x):
            for _ in range(1 + x.shape[1] ** 2 // 16):
                x = x.sin()
            return x

    measured = show(SequenceModel(Squares(), features=2), SequentialDepth(), sequences=1, time=32)
    added = measured.metrics["operators_per_token"]
    assert added.value is None
    assert added.reason == "from length to length the depth changes by +1, +3, +12, +48"
    assert "the form cannot be told" in measured.headline


def test_work_is_counted_also_where_a_fused_kernel_hides_it(show):
    d = 16
    model = SequenceModel(nn.LSTM(d, d, batch_first=True), features=d)
    measured = show(model, SequentialDepth(), sequences=1)
    assert measured.metrics["flops"].value == 16 * 128 * d * d
    assert measured.metrics["flops_exponent"].value == pytest.approx(1)
    depth = measured.metrics["depth"].value
    assert measured.metrics["parallelism"].value == 16 * 128 * d * d / depth


def test_attention_works_by_the_square(show):
    d, n = 32, 128
    measured = show(_attention(d), SequentialDepth(), sequences=1)
    assert measured.metrics["flops"].value == n * (8 * d * d + 4 * n * d)
    assert 1 < measured.metrics["flops_exponent"].value < 2


def _attention(d):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(d, 4, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    return SequenceModel(Own(), features=d)


def test_a_model_without_any_past_has_the_same_depth_everywhere(show):
    measured = show(zoo.memoryless(), SequentialDepth(), sequences=1)
    assert measured.metrics["exponent"].value in (0, None)


def test_too_few_lengths_give_no_exponent(show):
    model = SequenceModel(build("rnn", vocab_size=8, width=8, layers=1))
    measured = show(model, SequentialDepth(), sequences=1, time=2)
    assert measured.metrics["exponent"].reason == "2 lengths are too few"


def test_only_the_first_sequence_is_followed(observe):
    model = SequenceModel(build("rnn", vocab_size=8, width=8, layers=1))
    probe = SequentialDepth()
    later = probe.update(observe(model, probe, range(4, 8), 32))
    first = later.update(observe(model, probe, range(4), 32))
    assert first.compute().metrics["depth"].value > 0
    assert set(later.evidence[0]) == {"sequence"}
