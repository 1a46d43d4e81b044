"""Every probe says of a model on a device what it says of the same model on the CPU."""

from copy import deepcopy

import pytest
import torch
from agreement import differences
from torch import nn

import seqprobe
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.perceptron import perceptron
from seqprobe.models.by_prefix import ByPrefix
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import layers, zoo
from seqprobe.reference.language_models import Block, build
from seqprobe.reference.linear_recurrences import diagonal
from seqprobe.runner.registry import STABLE_IDS

SYMBOLS, WIDTH = 8, 8
UNTIMED = tuple(id for id in STABLE_IDS if id != "throughput")
OF_STATES = (
    "gradient-decay",
    "jacobian-spectrum",
    "path-length",
    "carry-over",
    "bottleneck",
    "weights",
)


class Read(nn.Module):
    """Recurrent, then whatever else, and an answer for each step."""

    def __init__(self, memory, *more, into=None, answers=SYMBOLS, width=WIDTH):
        super().__init__()
        self.into = into or nn.Embedding(SYMBOLS, WIDTH)
        self.memory, self.more = memory, nn.Sequential(*more)
        self.head = nn.Linear(width, answers)

    def forward(self, inputs):
        return self.head(self.more(self.memory(self.into(inputs))[0]))


class Classifier(Read):
    def forward(self, inputs):
        return super().forward(inputs)[:, -1]


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(WIDTH, WIDTH, 3)

    def forward(self, x):
        return self.convolution(nn.functional.pad(x.mT, (2, 0))).mT


def lm(kind, layers=1):
    return build(kind, vocab_size=SYMBOLS, width=WIDTH, layers=layers, heads=2)


def recurrent(kind, **more):
    return kind(WIDTH, WIDTH, batch_first=True, **more)


def forecaster():
    return Read(recurrent(nn.GRU), into=nn.Linear(2, WIDTH), answers=2)


MODELS = {
    "gru": (lambda: lm("gru"), UNTIMED),
    "attention": (lambda: lm("attention", 2), STABLE_IDS),
    "plain attention": (
        lambda: zoo.content_attention(symbols=SYMBOLS, width=WIDTH).module,
        ("gradient-decay", "attention", "window"),
    ),
    "hybrid": (lambda: Read(recurrent(nn.RNN), Convolution(), Block(WIDTH, 2)), UNTIMED),
    "both directions": (
        lambda: Read(recurrent(nn.LSTM, bidirectional=True), width=2 * WIDTH),
        OF_STATES,
    ),
}
REAL = {
    "forecaster": lambda: (forecaster(), {"features": 2}),
    "patches": lambda: (layers.Attention(WIDTH, 2, True), {"features": WIDTH, "grid": (4, 4)}),
    "complex": lambda: (diagonal([0.9, 0.3 + 0.4j]).module, {"features": 1, "sites": ["memory"]}),
}


def reports(module, device, probes=UNTIMED, *, known=None):
    """Of the CPU, and of a copy on the device."""
    asked = {"data": None if known else "synthetic:copy", "length": 16, "distance": 5, "limit": 8}
    return [
        seqprobe.analyze(SequenceModel(each, **known or {}), probes=probes, **asked)
        for each in (module, deepcopy(module).to(device))
    ]


@pytest.mark.parametrize("name", MODELS)
def test_models_of_symbols(name, device):
    build_it, probes = MODELS[name]
    one, other = reports(build_it().double(), device, probes)
    assert other.environment.device.startswith(device.type)
    assert differences(one, other, torch.float64) == []


@pytest.mark.parametrize("name", REAL)
def test_models_of_real_values(name, device):
    module, known = REAL[name]()
    one, other = reports(module.double(), device, known=known)
    assert differences(one, other, torch.float64) == []


def test_decoders_of_states_on_a_device(device):
    """What they draw is drawn on the CPU."""
    generator = torch.Generator().manual_seed(0)
    symbols = torch.randint(4, (20, 20, 1), generator=generator)
    noise = torch.randn(20, 20, 4, generator=generator)
    states = nn.functional.one_hot(symbols[..., 0], 4) + 0.5 * noise
    cpu, there = (
        perceptron(s.flatten(0, 1), y.flatten(0, 1), 4, Folds.of(20, 20, 0, s.device))
        for s, y in ((states, symbols), (states.to(device), symbols.to(device)))
    )
    assert torch.allclose(there.cpu(), cpu, atol=1e-3)


def test_a_model_that_answers_once(device):
    module = ByPrefix(Classifier(recurrent(nn.RNN), answers=3)).double()
    one, other = reports(module, device, ("gradient-decay", "position", "path-length"))
    assert differences(one, other, torch.float64) == []


def test_single_precision(device):
    one, other = reports(lm("mingru"), device)
    assert differences(one, other, torch.float32) == []
