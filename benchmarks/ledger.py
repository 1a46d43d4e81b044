"""Hold every probe against models whose answer is known, and write the score.

    python benchmarks/ledger.py > docs/ledger.md    (or some parts: use, storage, ..)

Closed forms are in `seqprobe.reference.zoo`. Gradients and influence are measured in double
precision, bits by sampling. Reports keep seven digits of their tables.
"""

import math
import sys
from collections.abc import Iterator

import numpy as np
import torch
from numpy.polynomial import polynomial
from torch.nn import functional

import seqprobe
from seqprobe.contracts import Observation, Probe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.bottleneck_on_data import BottleneckOnData
from seqprobe.reference import layers, zoo
from seqprobe.reference.attention_circuits import fading_attention
from seqprobe.reference.convolutions import convolutions
from seqprobe.reference.forecasters import lag_forecaster, lag_influence
from seqprobe.reference.linear_recurrences import FORMS, diagonal, diagonal_bits
from seqprobe.reference.min_recurrences import MINIMAL, constant_gate, constant_gate_factor

Row = tuple[str, str, str, float, float]
SPECTRUM = "jacobian-spectrum"
WIDTH, NORMAL = 4, "-d/2 log2(1 - a^2k (1 - a²))"
RATE, FADES = -math.log(0.8), "sum of k r^k, r = exp(-0.5)"
FADED = float(
    np.mean([np.average(np.arange(t), weights=np.exp(-0.5 * np.arange(t))) for t in range(1, 129)])
)


def measured(
    model: SequenceModel, probe: str, column: str, limit: int, *, exact: bool = False
) -> np.ndarray:
    """The first column of numbers of one probe, by distance, at its first site."""
    report = seqprobe.analyze(
        model, data=None if model.features else "synthetic:iid", probes=(probe,), length=128,
        limit=limit, distance=20, dtype="float64", exact=exact,
    )  # fmt: skip
    check = report[probe]
    if not check.tables:
        raise SystemExit(f"{probe}: {check.status}: {check.headline}")
    table = report.table(check.tables[0])
    distances = table.column("distance")
    count = distances.index(max(distances)) + 1
    return np.array(
        [math.nan if v is None else v for v in table.column(column)[:count]], dtype=float
    )


def gradients() -> Iterator[Row]:
    """Relative gradient norms over all distances."""
    for b in (0.0, 1.0, 2.0, 4.0):
        curve = measured(zoo.constant_gate_lstm(b), "gradient-decay", "relative", 16)
        truth = (1 / (1 + math.exp(-b))) ** np.arange(len(curve))
        yield (
            f"constant-gate LSTM, bias {b:g}",
            "gradient-decay",
            "sigmoid(b)^k",
            *_worst(curve, truth),
        )
    for a in (0.5, 0.9):
        curve = measured(zoo.leaky(a), "gradient-decay", "relative", 16)
        yield (
            f"leaky integrator, {a:g}",
            "gradient-decay",
            "a^k",
            *_worst(curve, a ** np.arange(len(curve))),
        )
    for name, model in {
        "orthogonal RNN": zoo.orthogonal_rnn(),
        "uniform attention": zoo.uniform_attention(),
    }.items():
        curve = measured(model, "gradient-decay", "relative", 16)
        yield name, "gradient-decay", "flat", *_worst(curve, np.ones(len(curve)))
    curve = measured(zoo.memoryless(), "gradient-decay", "relative", 16)
    yield "memoryless", "gradient-decay", "0 beyond k = 0", *_worst(curve, np.eye(1, len(curve))[0])


def spectra() -> Iterator[Row]:
    """Largest Lyapunov exponents, and largest singular values over distance."""
    for b in (0.0, 2.0, 4.0):
        model = zoo.constant_gate_lstm(b)
        found = np.array([exponent(model)])
        truth = np.array([-math.log1p(math.exp(-b))])
        yield f"constant-gate LSTM, bias {b:g}", SPECTRUM, "ln sigmoid(b)", *_worst(found, truth)
    curve = measured(zoo.orthogonal_rnn(), SPECTRUM, "largest", 8)
    yield "orthogonal RNN", SPECTRUM, "1 at any distance", *_worst(curve, np.ones(len(curve)))
    curve = measured(zoo.uniform_attention(), SPECTRUM, "largest", 8)
    yield "uniform attention", SPECTRUM, "1/t", *_worst(curve, np.full(len(curve), 1 / 128))
    curve = measured(zoo.memoryless(), SPECTRUM, "largest", 8)[1:]
    yield "memoryless", SPECTRUM, "0 beyond k = 0", *_worst(curve, np.zeros(len(curve)))


def exponent(model: SequenceModel) -> float:
    """The largest Lyapunov exponent."""
    report = seqprobe.analyze(
        model, data="synthetic:iid", probes=(SPECTRUM,), length=128, limit=8, distance=20
    )
    return report[SPECTRUM].metrics["lyapunov_max"].value or math.nan


def paths() -> Iterator[Row]:
    """Hops, exact."""
    for window, depth in ((5, 2), (9, 3)):
        curve = measured(zoo.window_attention(window, depth), "path-length", "hops", 8)
        field = depth * (window - 1)
        truth = np.ceil(np.arange(field + 1) / (window - 1))
        assert np.isnan(curve[field + 1 :]).all()
        yield (
            f"window attention {window}, {depth} layers",
            "path-length",
            "ceil(k/(W-1))",
            *_worst(curve[: field + 1], truth),
        )
    curve = measured(zoo.orthogonal_rnn(), "path-length", "hops", 8)[:100]
    yield "orthogonal RNN", "path-length", "k hops", *_worst(curve, np.arange(100.0))
    curve = measured(zoo.uniform_attention(), "path-length", "hops", 8)[:100]
    yield (
        "uniform attention",
        "path-length",
        "1 hop",
        *_worst(curve, np.minimum(np.arange(100.0), 1)),
    )


def linear_recurrences() -> Iterator[Row]:
    """The same weights in each form, and gates that are held constant."""
    lambdas = (0.9, 0.5, 0.6 + 0.5j)
    n = 2.0 ** np.arange(3, 8)
    depths = {
        "steps": ("2n - 1", 2 * n - 1),
        "scan": ("2 log2 n + 1", 2 * np.log2(n) + 1),
        "convolution": ("2", np.full(len(n), 2.0)),
    }
    for form in FORMS:
        model, name = diagonal(lambdas, form), f"diagonal recurrence, as {form}"
        curve = measured(model, "gradient-decay", "relative", 16, exact=True)
        truth = np.sqrt(sum(abs(a) ** (2 * np.arange(len(curve))) for a in lambdas) / len(lambdas))
        yield name, "gradient-decay", "root of sum of abs(lambda)^2k", *_worst(curve, truth)
        curve = measured(model, "bottleneck", "estimate", 256)
        truth = diagonal_bits(lambdas, np.arange(len(curve)))
        yield name, "bottleneck", "-1/2 log2(1 - c(k))", *_worst(curve, truth)
        report = seqprobe.analyze(model, probes=("sequential-depth",), length=128, limit=1)
        found = np.array(report.table("sequential-depth").column("depth"), dtype=float)
        words, law = depths[form]
        yield name, "sequential-depth", words, *_worst(found, law)
    for kind in MINIMAL:
        curve = measured(constant_gate(kind, 1.0), "gradient-decay", "relative", 16)
        truth = constant_gate_factor(kind, 1.0) ** np.arange(len(curve))
        yield f"constant-gate {kind}, bias 1", "gradient-decay", "factor^k", *_worst(curve, truth)


def causal_convolutions() -> Iterator[Row]:
    """Hops, exact, as far as they reach; and how far that is."""
    for words, kernel, dilations in (
        ("ceil(k/(w-1))", 3, (1,) * 4),
        ("ones among the binary digits of k", 2, (1, 2, 4, 8)),
        ("digits of k to base 3 that are not 0", 3, (1, 3, 9)),
    ):
        name = f"convolutions of {kernel}, dilated {', '.join(map(str, dilations))}"
        model, reach = convolutions(kernel, dilations), (kernel - 1) * sum(dilations)
        curve = measured(model, "path-length", "hops", 8)
        assert np.isnan(curve[reach + 1 :]).all()
        steps = np.arange(reach + 1)
        hops = np.ceil(steps / (kernel - 1))
        if len(set(dilations)) > 1:
            hops = (steps[:, None] // np.array(dilations) % kernel > 0).sum(1)
        yield name, "path-length", words, *_worst(curve[: reach + 1], hops)
        report = seqprobe.analyze(
            model, data="synthetic:iid", probes=("window",), length=128, limit=16, distance=20
        )
        found = report["window"].metrics["reach"].value or math.nan
        truth = np.array([float(reach)])
        yield name, "window.reach", "(w - 1) sum of d", *_worst(np.array([found]), truth)


def costs() -> Iterator[Row]:
    """FLOPs, and bytes in single precision, at five lengths up to 128: a + b n + c n²."""
    torch.set_default_dtype(torch.float32)
    d = 128
    matrix, fused = (layers.attention(d, 4, fused=fused) for fused in (False, True))
    loop = layers.lstm_loop(d)
    for name, model, probe, column, words, law in (
        ("attention as a matrix", matrix, "memory", "training", "16n²+2560n", (0, 2560, 16)),
        ("attention, fused", fused, "memory", "training", "2576n", (0, 2576, 0)),
        ("LSTM cell, in a loop", loop, "memory", "carried", "2d numbers", (8 * d, 0, 0)),
        ("attention", fused, "sequential-depth", "flops", "n(8d²+4nd)", (0, 8 * d**2, 4 * d)),
        ("LSTM cell, in a loop", loop, "sequential-depth", "flops", "16nd²", (0, 16 * d**2, 0)),
        ("LSTM cell, in a loop", loop, "sequential-depth", "depth", "7 per step", (0, 7, 0)),
    ):
        report = seqprobe.analyze(model, probes=(probe,), length=128, limit=1)
        table = report.table(probe)
        found, length = (np.array(table.column(c), dtype=float) for c in (column, "length"))
        yield name, probe, words, *_worst(found, polynomial.polyval(length, law))
    torch.set_default_dtype(torch.float64)


def influence() -> Iterator[Row]:
    """KL divergence in bits."""
    for lag, symbols, epsilon in ((7, 8, 0.1), (30, 4, 0.3)):
        curve = measured(zoo.lag_oracle(lag, symbols, epsilon), "position", "kl_bits", 16)
        truth = np.zeros(len(curve))
        truth[lag] = zoo.lag_oracle_influence(symbols, epsilon)
        yield f"lag-{lag} oracle, {symbols} symbols", "position", "one spike", *_worst(curve, truth)
    curve = measured(zoo.memoryless(), "position", "kl_bits", 16)[1:]
    yield "memoryless", "position", "0 beyond k = 0", *_worst(curve, np.zeros(len(curve)))


def use() -> Iterator[Row]:
    """What interventions find, number by number."""
    oracle, mean_pool = zoo.lag_oracle(7), zoo.uniform_attention()
    nothing = zoo.memoryless()
    for name, model, probe, metric, words, truth in (
        ("lag-7 oracle", oracle, "locality", "mean_distance", "7 steps", 7),
        ("memoryless", nothing, "locality", "mean_distance", "0 steps", 0),
        ("lag-7 oracle", oracle, "context", "effective_length_kl", "8 tokens", 8),
        ("Markov model of order 3", zoo.markov(3), "context", "effective_length_kl", "3 tokens", 3),
        ("memoryless", nothing, "context", "effective_length", "1 token", 1),
        ("memoryless", nothing, "context", "copied_bits", "0 bits", 0),
        ("mean of all tokens", mean_pool, "order", "shuffle_all", "0 bits", 0),
        ("memoryless", nothing, "order", "drop_all", "0 bits", 0),
        (
            "window attention 5, 3 layers",
            zoo.window_attention(5, 3),
            "window",
            "reach",
            "L(W-1)",
            12,
        ),
        ("memoryless", nothing, "window", "reach", "0 steps", 0),
        ("linear RNN, in chunks", zoo.carried_rnn(0.8), "carry-over", "equivalence_error", "0", 0),
        ("linear RNN, 0.8", zoo.carried_rnn(0.8), "carry-over", "washout_rate", "-ln a", RATE),
        ("memoryless", nothing, "carry-over", "gain_bits", "0 bits", 0),
        ("uniform attention", mean_pool, "attention", "mean_entropy_ratio", "1", 1),
        ("uniform attention", mean_pool, "attention", "mean_distance", "(n - 1) / 4", 127 / 4),
        (
            "fading attention, 0.5",
            fading_attention((0.5,)),
            "attention",
            "mean_distance",
            FADES,
            FADED,
        ),
    ):
        report = seqprobe.analyze(
            model, data=None if model.features else "synthetic:iid", probes=(probe,), length=128,
            limit=16, distance=20, dtype="float64",
        )  # fmt: skip
        found = report[probe].metrics[metric].value
        if found is None:
            raise SystemExit(f"{name}: {probe}: {report[probe].metrics[metric].reason}")
        yield name, f"{probe}.{metric}", words, *_worst(np.array([found]), np.array([truth]))


def forecasts() -> Iterator[Row]:
    """The best forecasters of series with a known lag; numbers of bits are sampled."""
    for lag in (12, 48):
        name, model = f"lag-{lag} forecaster", lag_forecaster(lag)
        report = seqprobe.analyze(
            model, data=f"synthetic:lag-{lag}", length=256, limit=256, distance=lag,
            probes=("position", "context", "order", "carry-over", "bottleneck"),
        )  # fmt: skip
        curve = np.array(report.table("position").column("kl_bits"), dtype=float)
        there, elsewhere = curve[[lag - 1]], np.delete(curve, lag - 1)
        needs, gain, span = (
            np.array([report[probe].metrics[metric].value])
            for probe, metric in (
                ("context", "effective_length"), ("carry-over", "gain_bits"), ("order", "span")
            )
        )  # fmt: skip
        kept = np.array(report.table("bottleneck").column("lower_bound"), dtype=float)[lag:]
        held = np.array(report.table("bottleneck").column("low"), dtype=float)[:lag]
        used = np.array([lag_influence()])
        lost = used / 2 * min(lag - 1, 32) / 32
        yield name, "position", "0.81 / (0.19 ln 2) bits at lag - 1", *_worst(there, used)
        yield name, "position", "0 elsewhere", *_worst(elsewhere, np.zeros(len(elsewhere)))
        yield name, "context.effective_length", "the lag", *_worst(needs, np.array([lag]))
        yield name, "order.span", "the lag", *_worst(span, np.array([lag]))
        yield name, "carry-over.gain_bits", "half of it, lag - 1 times", *_worst(gain, lost)
        yield (
            name,
            "bottleneck",
            "over 5 bits for k < lag",
            *_worst(np.minimum(held, 5), 5 + 0 * held),
        )
        yield name, "bottleneck", "0 bits for k >= lag", *_worst(kept, np.zeros(len(kept)))


def storage() -> Iterator[Row]:
    """Lower bounds in bits; they may lie below the truth, not above."""
    for depth, symbols in ((5, 8), (12, 4)):
        curve = measured(zoo.shift_register(depth, symbols), "bottleneck", "lower_bound", 256)
        truth = np.where(np.arange(len(curve)) < depth, math.log2(symbols), 0)
        yield (
            f"shift register {depth}, {symbols} symbols",
            "bottleneck",
            "log2 K for k < D",
            *_worst(curve, truth),
        )
    for q in (0.3, 0.7):
        curve = measured(zoo.random_replacement(q), "bottleneck", "lower_bound", 256)
        truth = np.array([zoo.random_replacement_bits(q, 8, k) for k in range(len(curve))])
        yield f"random replacement {q:g}", "bottleneck", "closed form", *_worst(curve, truth)
    curve = measured(zoo.memoryless(), "bottleneck", "lower_bound", 256)
    yield "memoryless", "bottleneck", "3 bits, then 0", *_worst(curve, 3 * np.eye(1, len(curve))[0])
    curve = parity()
    yield "parity of all symbols", "bottleneck", "0 bits", *_worst(curve, np.zeros(len(curve)))
    for a in (0.5, 0.9):
        curve = measured(zoo.leaky(a, WIDTH), "bottleneck", "estimate", 256)
        kept = a ** (2 * np.arange(len(curve))) * (1 - a**2)
        truth = -WIDTH / 2 * np.log2(1 - kept)
        yield f"leaky integrator, {a:g}", "bottleneck", NORMAL, *_worst(curve, truth)
    curve = conditional()
    yield (
        "present symbol of a sticky chain",
        "bottleneck, on the data",
        "0 bits for k > 0",
        *_worst(curve, np.zeros(len(curve))),
    )


def parity() -> np.ndarray:
    """Lower bounds where each state is the parity of all symbols so far."""
    symbols = torch.randint(2, (256, 128), generator=torch.Generator().manual_seed(0))
    state = symbols.cumsum(1).remainder(2)[..., None].float()
    return observed(Bottleneck(20), symbols, state, 2)


def conditional() -> np.ndarray:
    """What the present symbol adds to nearer ones, where each is the last one nine times in ten."""
    generator = torch.Generator().manual_seed(0)
    symbols = torch.randint(8, (256, 128), generator=generator)
    stays = torch.rand(symbols.shape, generator=generator) < 0.9
    for step in range(1, symbols.shape[1]):
        symbols[:, step] = torch.where(stays[:, step], symbols[:, step - 1], symbols[:, step])
    state = functional.one_hot(symbols, 8).float()
    return observed(BottleneckOnData(20), symbols, state, 8, "conditional")[1:]


def observed(
    probe: Probe,
    symbols: torch.Tensor,
    state: torch.Tensor,
    classes: int,
    column: str = "lower_bound",
) -> np.ndarray:
    """One column of a probe that is shown these states."""
    observation = Observation(
        sequences=range(len(symbols)),
        inputs=symbols,
        outputs=torch.zeros(*symbols.shape, 1),
        states={"memory": state},
        alphabet=torch.arange(classes),
        frequencies=torch.full((classes,), 1 / classes),
    )
    found = probe.update(observation).compute()
    return np.array(found.series[0].column(column), dtype=float)


def capacities() -> Iterator[Row]:
    """Bits in all; lower bounds too."""
    for name, model, words, truth in (
        ("shift register 5, 8 symbols", zoo.shift_register(5, 8), "D log2 K", 15),
        ("shift register 12, 4 symbols", zoo.shift_register(12, 4), "D log2 K", 24),
        ("memoryless", zoo.memoryless(), "3 bits", 3),
    ):
        report = seqprobe.analyze(
            model, data="synthetic:iid", probes=("capacity",), length=128, limit=256, distance=20
        )
        found = np.array([report["capacity"].metrics["bits"].value], dtype=float)
        yield name, "capacity", words, *_worst(found, np.array([truth], dtype=float))


def _worst(curve: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The largest shortfall and the largest excess over all distances."""
    difference = curve - truth
    return float((-difference).max(initial=0.0)) + 0.0, float(difference.max(initial=0.0)) + 0.0


def main(words: list[str]) -> None:
    """Print the table, or some parts of it."""
    torch.set_default_dtype(torch.float64)
    print(
        "# The ledger\n\nEvery probe against models whose answer is known, over all distances "
        "(tables keep seven digits)."
    )
    print(f"Made by `python benchmarks/ledger.py` with torch {torch.__version__}.\n")
    print("| model | probe | truth | largest shortfall | largest excess |\n|---|---|---|---|---|")
    parts = (gradients, spectra, linear_recurrences, paths, causal_convolutions, costs)
    for part in (*parts, influence, use, forecasts, storage, capacities):
        if words and part.__name__ not in words:
            continue
        for model, probe, truth, under, over in part():
            print(f"| {model} | `{probe}` | {truth} | {under:.1e} | {over:.1e} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
