"""What all tests share: one seed, few threads, and a way to show a model to a probe."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial, reduce

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqprobe.contracts import Measurement, Observation, Probe
from seqprobe.models.attempts import Attempts
from seqprobe.models.autograd import Autograd
from seqprobe.models.carrying import Carrying
from seqprobe.models.costs import Costs
from seqprobe.models.interventions import Interventions
from seqprobe.models.own_passes import OwnPasses
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.runner.observe import readout_of
from seqprobe.sequences.streams import IidStream, NoiseStream, SampledStream, Stream

Show = Callable[..., Measurement]


signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
torch.set_num_threads(1)  # small operators are faster so, most of all on a busy machine
os.environ["OMP_NUM_THREADS"] = "1"  # so do processes that tests start, and round alike


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was not tried for want of hardware is said aloud."""
    skipped = terminalreporter.stats.get("skipped", [])
    missed = [each for each in skipped if "no CUDA device" in str(each.longrepr)]
    if missed:
        terminalreporter.section("no CUDA device", yellow=True)
        terminalreporter.write_line(f"{len(missed)} tests did not run for want of a CUDA device.")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def double() -> Iterator[None]:
    """Closed forms are held against double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def show() -> Show:
    return _show


@pytest.fixture
def train() -> Callable[..., list[Observation]]:
    return _train


@pytest.fixture
def show_training() -> Show:
    return _show_training


@pytest.fixture
def observe() -> Callable[..., Observation]:
    return _observe


def _show(
    model: SequenceModel, probe: Probe, *, sequences: int = 16, time: int = 128
) -> Measurement:
    """Feed a model independent symbols (or noise) and let one probe measure it."""
    return probe.update(_observe(model, probe, range(sequences), time)).compute()


def _observe(
    model: SequenceModel, probe: Probe, numbers: range, time: int, *, written: bool = False
) -> Observation:
    """On independent symbols, noise, or text that the model has written itself."""
    needs = probe.needs
    if model.features:
        noise = NoiseStream(model.features, model.dtype)
        stream: Stream = noise
        inputs, frequencies, alphabet = noise.take(numbers, time), None, None
    else:
        assert model.vocab_size is not None
        symbols = IidStream(torch.arange(model.vocab_size), model.vocab_size)
        stream = SampledStream(model, model.vocab_size, length=time) if written else symbols
        inputs, frequencies, alphabet = (
            stream.take(numbers, time),
            symbols.frequencies,
            symbols.alphabet,
        )
    derivatives = model.derivatives(inputs, states=needs.states) if needs.gradients else None
    observed = derivatives.observed if derivatives else model.observe(inputs, gradients=False)
    return Observation(
        sequences=numbers,
        inputs=inputs,
        outputs=observed.outputs,
        states=observed.states,
        derivatives=derivatives,
        layers=observed.layers,
        recurrence=model.recurrence(observed),
        embeddings=observed.embeddings,
        rerun=model,
        interventions=Interventions(model, inputs),
        attend=model.attend if needs.attention else None,
        longer=lambda length: stream.take(numbers, length),
        longest=stream.longest,
        attempt=Attempts(model),
        trained_length=model.trained_length,
        carrying=None if model.grid else Carrying(model),
        from_embeddings=partial(model.from_embeddings, inputs),
        jacobian=derivatives.jacobian if isinstance(derivatives, Autograd) else None,
        frequencies=frequencies,
        values=inputs.flatten(0, 1) if model.features else None,
        readout=readout_of(model, inputs) if model.features and needs.rerun else None,
        alphabet=alphabet,
        mixers=model.mixers(time) if needs.mixing else (),
        costs=Costs(model) if needs.costs else None,
        causal=model.causal,
        grid=model.grid,
    )


def _train(model: SequenceModel, probe: Probe, *batches: Tensor) -> list[Observation]:
    """What a probe of a training loop sees of a forward and backward for each batch: of the next
    token, or of the mean square of the outputs.
    """
    passes = OwnPasses(model, [probe.needs], None)
    passes.arm()
    for inputs in batches:
        outputs = model.module.train()(inputs)
        if model.features:
            outputs.square().mean().backward()
        else:
            cross_entropy(outputs[:, :-1].flatten(0, 1), inputs[:, 1:].flatten()).backward()
    return passes.taken()


def _show_training(model: SequenceModel, probe: Probe, *batches: Tensor) -> Measurement:
    return reduce(Probe.update, _train(model, probe, *batches), probe).compute()
