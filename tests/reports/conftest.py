"""Reports made by hand: a full one, its variations, and one that attacks the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from seqprobe.contracts import Estimate, Finding, Null, Series
from seqprobe.records import (
    Assumption,
    Check,
    DataRecord,
    Environment,
    Figure,
    ModelRecord,
    Verdict,
    Verification,
)
from seqprobe.report import Report
from seqprobe_reports.page import render

DISTANCES = np.arange(193)
SITES = ("output", "loss", "rnn.state_l0", "rnn.state_l1")
STATES = SITES[2:]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&$\\frac{$"
NOTHING = Null("shuffled", 0.01, 0.0, 0.03)


def steps(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, "steps", low=low, high=high, n=32, null=Null("no decay", 1.5))


def gradient_decay(half_life: float) -> tuple[Check, tuple[Series, ...]]:
    tables = (
        gradients("gradient-decay", half_life, SITES),
        *beside_gradients(half_life),
        gradients("gradient-decay-untrained", 2.0),
        gradients("gradient-decay-iid", half_life * 0.9),
    )
    metrics = {
        "half_life": steps(half_life, half_life * 0.9, half_life * 1.1),
        "horizon": steps(10 * half_life, 9 * half_life, 11 * half_life),
        "at_distance": Estimate(2 ** (-100 / half_life), "", 0.0, 0.1, n=32, null=NOTHING),
        "rate": Estimate(0.693 / half_life, "nats/step", 0.01, 0.2, n=32, null=NOTHING),
        "half_life_rms": steps(half_life * 1.2, half_life, half_life * 1.4),
        "gate_time_constant": steps(3.5, 3.1, 3.9),
        "half_life_untrained": steps(2.5, 2.4, 2.6),
        "horizon_untrained": steps(25.0, 24.0, 26.0),
        "half_life_iid": steps(half_life * 0.5, half_life * 0.4, half_life * 0.6),
        "horizon_iid": Estimate.missing("steps", "it never ends", low=192.0),
    }
    return check("gradient-decay", "Gradient decay", metrics, tables), tables


def gradients(id: str, half_life: float, sites: Sequence[str] = SITES[:1]) -> Series:
    def at(site: str, slower: float) -> dict[str, object]:
        relative = 2.0 ** (-DISTANCES / (half_life * slower))
        return {
            "distance": DISTANCES,
            "site": site,
            "relative": relative,
            "low": relative * 0.7,
            "high": relative * 1.35,
            "rms": relative * 1.5,
            "projection_error": 0.02,
            "fit": np.where(DISTANCES > 2, relative * 1.01, np.nan),
            "law": "exponential",
            "n": 32,
        }

    return Series.stacked(id, [at(site, 1 + 0.4 * i) for i, site in enumerate(sites)])


def beside_gradients(half_life: float) -> tuple[Series, ...]:
    some = DISTANCES[::4]
    relative = 2.0 ** (-some / half_life)
    thirds = [
        {
            "distance": some,
            "third": third,
            "relative": relative,
            "low": relative * 0.7,
            "high": relative * 1.35,
            "n": 32,
        }
        for third in ("first", "middle", "last")
    ]
    gates = [
        {"distance": DISTANCES, "site": site, "share": np.exp(-DISTANCES / 5), "n": 32}
        for site in STATES
    ]
    return (
        Series.stacked("gradient-decay-position", thirds),
        Series.stacked("gradient-decay-gates", gates),
    )


def jacobian_spectrum(exponent: float) -> tuple[Check, tuple[Series, ...]]:
    distance = 2 ** np.arange(7)
    largest = 4 * np.exp(exponent * distance)
    by_distance = {
        "distance": distance,
        "largest": largest,
        "low": largest * 0.8,
        "high": largest * 1.3,
        "norm": largest * 2,
        "rank": 200 / distance,
        "asymptotic": np.exp(exponent * distance),
        "n": 8,
    }
    settling = {
        "length": [48, 96, 144, 192],
        "index": 1,
        "exponent": exponent + np.array([0.02, 0.01, 0.004, 0.0]),
        "low": exponent - 0.01,
        "high": exponent + 0.03,
        "n": 8,
    }
    tables = (
        Series.stacked("jacobian-spectrum", [by_distance]),
        Series.stacked("jacobian-spectrum-convergence", [settling]),
    )
    metrics = {
        "lyapunov_max": Estimate(exponent, "nats/step", -0.2, 0.0, n=8, null=NOTHING),
        "effective_rank": Estimate(12.0, "directions", 9.1, 14.2, n=8, null=NOTHING),
    }
    return check("jacobian-spectrum", "Spectrum of the Jacobian", metrics, tables), tables


def weights() -> tuple[Check, tuple[Series, ...]]:
    table = Series.of(
        "weights",
        {
            "position": [0, 1],
            "site": STATES,
            "spectral_radius": [4.07, 4.2],
            "largest_singular_value": [8.87, 7.22],
            "forget_bias": [0.98, np.nan],
            "forget_bias_max": [1.25, np.nan],
        },
    )
    metrics = {"spectral_radius": Estimate(4.2, "", exact=True)}
    return check("weights", "Recurrent weights", metrics, (table,)), (table,)


def path_length() -> tuple[Check, tuple[Series, ...]]:
    reached = DISTANCES < 150
    hops = np.where(reached, DISTANCES + 3.0, np.nan)
    columns = {"distance": DISTANCES, "hops": hops, "reached": reached}
    table = Series.of("path-length", columns, {"distance": "steps", "hops": "hops"})
    metrics = {
        "at_distance": Estimate(103.0, "hops", exact=True),
        "exponent": Estimate(1.0, "", exact=True),
        "reach": Estimate.missing("steps", "no input was lost", low=256.0, exact=True),
    }
    return check("path-length", "Path length", metrics, (table,)), (table,)


LENGTHS = np.array([16, 32, 64, 128, 256])


def sequential_depth() -> tuple[Check, tuple[Series, ...]]:
    columns = {"length": LENGTHS, "depth": 7 * LENGTHS + 9, "flops": 4096.0 * LENGTHS}
    table = Series.of("sequential-depth", columns, {"length": "tokens"})
    metrics = {"exponent": Estimate(0.98, "", 0.96, 0.99, n=5, exact=True)}
    return check("sequential-depth", "Sequential depth and work", metrics, (table,)), (table,)


def memory(state: float) -> tuple[Check, tuple[Series, ...]]:
    training = 16.0 * LENGTHS**2 + 2560 * LENGTHS
    columns = {"length": LENGTHS, "training": training, "carried": np.full(5, state)}
    table = Series.of("memory", columns, {"length": "tokens"})
    metrics = {"state_bytes": Estimate(state, "bytes", exact=True)}
    return check("memory", "Memory", metrics, (table,)), (table,)


def throughput(seconds: float) -> tuple[Check, tuple[Series, ...]]:
    columns: dict[str, np.ndarray] = {"length": LENGTHS}
    for way in ("forward", "training", "decoding"):
        value = seconds * LENGTHS
        columns |= {f"{way}_seconds": value, f"{way}_low": 0.9 * value, f"{way}_high": 1.2 * value}
    table = Series.of("throughput", columns, {"length": "tokens"})
    metrics = {"exponent": Estimate(0.1, "", -0.1, 0.3, n=9, null=NOTHING)}
    return check("throughput", "Throughput", metrics, (table,)), (table,)


def position(horizon: float) -> tuple[Check, tuple[Series, ...]]:
    kl = 2.0 * np.exp(-DISTANCES * 5 / horizon) + 1e-5
    kl[180:] = 0.0
    numbers = {"distance": DISTANCES, "kl_bits": kl, "low": kl * 0.6, "high": kl * 1.5}
    loss = {"loss_bits": kl / 2, "loss_low": kl / 4, "loss_high": kl}
    n = {"n": np.full(len(DISTANCES), 32)}
    table = Series.of("position", numbers | loss | n, {"distance": "steps"})
    places, last = np.arange(0, 248, 15.5).round(), np.geomspace(1e-3, 1, 16)
    near = {"kl_bits": kl[:16], "low": kl[:16] * 0.6, "high": kl[:16] * 1.5}
    ends = {"last_kl_bits": last, "last_low": last * 0.6, "last_high": last * 1.5, "n": [32] * 16}
    absolute = Series.of("position-absolute", {"position": places} | near | ends)
    metrics = {
        "horizon": steps(horizon, horizon - 6, horizon + 7),
        "at_distance": Estimate(0.0004, "bits", 0.0002, 0.0007, n=32, null=NOTHING),
        "mass90": steps(horizon / 3, horizon / 4, horizon / 2),
    }
    tables = (table, absolute)
    return check("position", "Use by distance", metrics, tables), tables


def locality(mean: float) -> tuple[Check, tuple[Series, ...]]:
    def within(id: str, mean: float) -> Series:
        distance = np.unique(np.geomspace(1, 127, 20).round())
        share = 1 - np.exp(-distance / mean)
        columns = {"distance": distance, "within": share, "low": share * 0.9, "high": share}
        return Series.of(id, columns, {"distance": "steps"})

    metrics = {
        "mean_distance": steps(mean, mean * 0.9, mean * 1.1),
        "mean_distance_untrained": steps(1.2, 1.1, 1.3),
    }
    tables = (
        within("locality", mean), within("locality-untrained", 1.2), within("locality-iid", 2.0),
    )  # fmt: skip
    return check("locality", "Locality", metrics, tables), tables


def context(tokens: float) -> tuple[Check, tuple[Series, ...]]:
    length = np.array([1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 23, 32, 45, 64, 91, 100, 101, 128])
    lost = 1.5 * np.exp(-4.6 * length / tokens) - 1e-4
    columns = {
        "length": length,
        "loss_bits": lost,
        "low": lost * 0.7 - 0.01,
        "high": lost * 1.3 + 0.01,
        "kl_bits": 1.2 * lost + 1e-3,
        "kl_low": lost,
        "kl_high": 1.5 * lost + 2e-3,
        "top_changed": lost / 3,
        "n": np.full(len(length), 32),
    }
    distance = np.array([8, 16, 32, 64, 100])
    gained = 8.0 / distance
    copies = {
        "distance": distance,
        "gained_bits": gained,
        "low": gained * 0.8,
        "high": gained * 1.2,
        "null": np.full(5, 0.01),
        "null_low": np.full(5, -0.04),
        "null_high": np.full(5, 0.06),
        "ceiling": np.full(5, 10.0),
        "accuracy": 0.5 / distance,
        "n": np.full(5, 32),
    }
    tables = (
        Series.of("context", columns, {"length": "tokens"}),
        Series.of("context-copy", copies, {"distance": "steps"}),
    )
    metrics = {
        "effective_length": Estimate(
            tokens, "tokens", 0.8 * tokens, 1.2 * tokens, n=32, null=NOTHING
        ),
        "bits_from_context": Estimate(1.5, "bits", 1.2, 1.9, n=32, null=NOTHING),
        "copied_at_distance": Estimate(0.08, "bits", 0.06, 0.1, n=32, null=NOTHING, ceiling=10.0),
    }
    return check("context", "Effective context", metrics, tables), tables


def order(tokens: float) -> tuple[Check, tuple[Series, ...]]:
    distance = np.array([1, 2, 4, 8, 16, 32, 64, 100])
    lost = 2.5 * np.exp(-4.6 * distance / tokens) - 1e-4
    within = np.where(distance > 2, 2.0, 0.0)
    columns = {"distance": distance}
    for name, bits in {"shuffle": lost, "drop": lost / 2, "within": within}.items():
        columns |= {
            f"{name}_bits": bits,
            f"{name}_low": bits * 0.7 - 0.01,
            f"{name}_high": bits * 1.3 + 0.01,
        }
    table = Series.of("order", columns, {"distance": "tokens"})
    metrics = {"span": Estimate(tokens, "tokens", 0.8 * tokens, 1.2 * tokens, n=32, null=NOTHING)}
    return check("order", "Use of order", metrics, (table,)), (table,)


def bottleneck(horizon: float) -> tuple[Check, tuple[Series, ...]]:
    lags = np.array([0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181])
    rows = [(d, s, i) for i, s in enumerate(STATES) for d in lags]
    distance = np.array([d for d, _, _ in rows])
    bits = 3.0 * np.exp(-distance / (horizon * np.array([0.3 + 0.2 * i for _, _, i in rows])))
    table = Series.of(
        "bottleneck",
        {
            "distance": distance,
            "site": [s for _, s, _ in rows],
            "lower_bound": bits - 0.02,
            "low": bits - 0.12,
            "high": bits + 0.08,
            "estimate": bits * 1.1,
            "verdict": ["bracketed"] * len(rows),
            "null": np.full(len(rows), 0.04),
            "ceiling": np.full(len(rows), 3.0),
        },
        {"distance": "steps"},
    )
    tables = (table, *bottleneck_on_data(horizon))
    metrics = {
        "bits_at_distance": Estimate.missing("bits", "distance 100 was not measured"),
        "total_bits": Estimate(31.4, "bits", 29.0, 33.1, n=32, null=NOTHING, ceiling=48.0),
        "horizon": steps(horizon, horizon - 2, horizon + 3),
        "bits_per_state_float": Estimate(0.24, "bits", 0.2, 0.3, n=32, null=NOTHING),
        "conditional_at_distance_data": Estimate(0.01, "bits", 0.0, 0.03, n=32, null=NOTHING),
        "bits_at_distance_data": Estimate(0.2, "bits", 0.15, 0.26, n=32, null=NOTHING),
    }
    return check("bottleneck", "The bottleneck", metrics, tables), tables


TOKENS = {"common (half of the text: 9 tokens)": 2.5, "letters": 5.2, "all other tokens": 3.5}


def bottleneck_on_data(horizon: float) -> tuple[Series, ...]:
    distance = np.array([0, 1, 2, 3, 4, 8, 16, 33, 64, 100, 128])
    kept = 4.0 * np.exp(-distance / (0.3 * horizon))
    added = kept * np.exp(-distance / horizon)
    columns = {
        "distance": distance,
        "lower_bound": kept - 0.02,
        "low": kept - 0.1,
        "high": kept + 0.1,
        "ceiling": np.full(len(distance), 4.1),
        "conditional": added,
        "conditional_low": added - 0.1,
        "conditional_high": added + 0.1,
        "conditional_null": np.full(len(distance), 0.03),
        "conditional_ceiling": 2.9 + 1.2 / (1 + distance),
        "verdict": ["bracketed", *["undersampled"] * 8, "not estimable", "not estimable"],
    }
    groups = [
        {
            "distance": distance,
            "tokens": tokens,
            "bits": surprisal * np.exp(-distance / horizon) - 0.04,
            "surprisal": surprisal,
        }
        for tokens, surprisal in TOKENS.items()
    ]
    return (
        Series.of("bottleneck-data", columns, {"distance": "steps"}),
        Series.stacked("bottleneck-tokens-data", groups),
    )


def capacity(horizon: float) -> tuple[Check, tuple[Series, ...]]:
    distance = np.arange(32)
    bits = 3.0 * np.exp(-distance / (0.3 * horizon))
    columns = {
        "distance": distance,
        "lower_bound": bits - 0.02,
        "low": bits - 0.1,
        "high": bits + 0.1,
        "total": bits.cumsum(),
        "null": np.zeros(32),
        "null_high": np.full(32, 0.05),
        "ceiling": np.full(32, 3.0),
    }
    table = Series.of("capacity", columns, {"distance": "steps"})
    total = float(bits.sum())
    metrics = {
        "bits": Estimate(total, "bits", total - 2, total + 2, n=32, null=NOTHING, lower_bound=True),
        "bits_per_state_float": Estimate(total / 256, "bits", 0.0, 0.2, n=32, null=NOTHING),
        "at_half_the_sequences": Estimate(0.8 * total, "bits", 0.7 * total, 0.9 * total, n=16),
    }
    return check("capacity", "Capacity of the state", metrics, (table,)), (table,)


def window(trained: int) -> tuple[Check, tuple[Series, ...]]:
    read = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 384])
    loss = 3.0 / read + 1.5
    columns = {"position": read, "mean": loss, "low": 0.9 * loss, "high": 1.1 * loss}
    change = {"distance": read - 1, "change": np.where(read < 200, 0.4 / read, 0.0)}
    tables = (Series.of("window", columns), Series.of("window-reach", change))
    metrics = {
        "hard_limit": Estimate(150.0, "tokens", exact=True),
        "trained_length": Estimate(float(trained), "tokens", exact=True),
        "refused_length": Estimate(trained + 1.0, "tokens", exact=True),
        "extrapolation_ratio": Estimate.missing("", "the model takes no more tokens"),
    }
    return check("window", "Window and longer inputs", metrics, tables), tables


def carry_over(rate: float) -> tuple[Check, tuple[Series, ...]]:
    since = np.array([1, 2, 4, 8, 16, 32, 64])
    saved = 2.0 / since - 0.1
    left = np.exp(-rate * since)
    gain = {"distance": since, "mean": saved, "low": saved - 0.05, "high": saved + 0.05}
    past = {"distance": since, "left": left, "low": 0.8 * left, "high": 1.2 * left}
    tables = (Series.of("carry-over", gain), Series.of("carry-over-washout", past))
    metrics = {
        "gain_bits": Estimate(0.2, "bits", 0.15, 0.25, n=32, null=NOTHING),
        "equivalence_error": Estimate.missing("", "every call starts empty"),
    }
    return check("carry-over", "Carry-over between calls", metrics, tables), tables


def attention(score: float, tokens: Sequence[str] = "the cat") -> tuple[Check, tuple[Series, ...]]:
    heads = np.arange(8)
    scores = score * np.exp(-heads / 2)
    by_head = {
        "position": heads,
        "layer": heads // 4,
        "head": heads % 4,
        "site": "blocks.0.attention",
        "entropy_ratio": 1 - scores,
        "first": scores / 2,
        "induction": scores[::-1],
        "previous_token": scores,
    }
    steps = len(tokens)
    equal = np.tril(np.ones((steps, steps))) / np.arange(1, steps + 1)[:, None]
    maps = [
        {
            "position": np.arange(steps),
            "role": role,
            "layer": layer,
            "head": 3,
            "token": list(tokens),
            **{f"to_{key}": equal[:, key] for key in range(steps)},
        }
        for layer, role in enumerate(("most previous token", "most induction"))
    ]
    shares = {"distance": [0, 1, 2, 4], "layer": 0, "share": [0.4, 0.3, 0.2, 0.1]}
    shares |= {"equal_weights": 0.25, "n": 16}
    tables = (
        Series.stacked("attention", [shares]),
        Series.stacked("attention-heads", [by_head]),
        Series.stacked("attention-map", maps),
    )
    metrics = {
        "induction_score": Estimate(score, "", score - 0.1, score + 0.05, n=16, null=NOTHING),
        "sink_rate": Estimate(0.25, "", 0.1, 0.4, n=16, null=NOTHING),
    }
    return check("attention", "Attention", metrics, tables), tables


def check(id: str, title: str, metrics: dict[str, Estimate], tables: tuple[Series, ...]) -> Check:
    return Check(
        id,
        1,
        title,
        f"The question of {id}?",
        "info",
        f"The answer of {id} in one sentence.",
        metrics=metrics,
        method="Measured by the sample method.",
        reading="A straight line falls by the same factor at each step.",
        limits="Only as good as the sample.",
        references=("A paper (Author, 1994)",),
        tables=tuple(table.id for table in tables),
        seconds=2.345,
        warnings=("Only 32 sequences.",),
    )


def finding(check: str, status: str = "problem") -> Finding:
    return Finding(
        rule=f"{check}-rule",
        check=check,
        status=status,  # type: ignore[arg-type]
        statement=f"Beyond 54 steps {check} finds nothing.",
        metric="horizon",
        evidence=steps(54.0, 48.0, 61.0),
        threshold="horizon below the distance asked about (100 steps)",
        source="our convention",
        reference="Learning Long-Term Dependencies (Bengio et al., 1994)",
        remedy="Raise the forget-gate bias to 1 or more, and train again.",
        falsified_by="The same measurement with a horizon above 100 steps.",
    )


def build(name: str = "lstm.pt", half_life: float = 5.4) -> Report:
    measured = [
        gradient_decay(half_life),
        path_length(),
        locality(half_life),
        position(12 * half_life),
        context(8 * half_life),
        order(6 * half_life),
        bottleneck(5 * half_life),
        capacity(5 * half_life),
        attention(min(0.9, half_life / 30)),
        jacobian_spectrum(-0.7 / half_life),
        weights(),
        sequential_depth(),
        memory(256 * half_life),
        throughput(half_life / 1e5),
        window(256),
        carry_over(0.5 / half_life),
    ]
    return Report(
        created="2025-06-01T12:00:00+00:00",
        command=("seqprobe", "analyze", name),
        distance=100,
        environment=Environment(
            *("0.1.0", "3.11.2", "2.13.0", "0.8.0", "2.4.6", "1.17.1", "0.13.2", "Linux"),
            *("cpu", "float32", 2, 0, True),
        ),
        model=ModelRecord(
            name,
            "LSTM",
            1_234_567,
            ("float32",),
            {"embedding": "encoder", "mixers": ["rnn"], "head": {"path": "decoder"}},
            sha256="ab" * 32,
            bytes=4_938_268,
            assumptions=(
                Assumption(
                    "gate order", "i, f, g, o", "likelihood", 0.4, 9.1, ("i, g, f, o",), "bits"
                ),
                Assumption("heads", "4", "default", None, None, ("2", "8"), "", "possible"),
                Assumption("hidden size", "128", "file"),
            ),
            verification=(
                Verification("outputs equal the plain forward", "passed", 0.0, "float32"),
                Verification("loss below the token frequencies", "failed", 4.2, "4.1 nats"),
            ),
        ),
        data=DataRecord("tiny.txt", "cd" * 32, "characters", 32, 8192, "test", 3.2),
        verdict=Verdict("problem", "It sees 54 steps back; you asked about 100.", {"info": 4}),
        findings=(finding("gradient-decay"), finding("position", "attention")),
        checks=(
            *(found for found, _ in measured),
            Check("not-run", 1, "Not run", "Where does it end?", "not run", "needs a GPU"),
            Check("failed", 1, "Failed", "?", "error", "failed", error="ValueError: no"),
        ),
        figures=(Figure("gradient-decay", "Gradient decay", "", "", "gradient-decay"),),
        tables=tuple(table.rounded(7) for _, tables in measured for table in tables),
        timing={"gradients": 2.5},
    )


def attack(report: Report) -> Report:
    """The same report with markup in every text that a user's files may bring in."""
    one = replace(
        report.checks[0], title=HOSTILE, headline=HOSTILE, reading=HOSTILE, warnings=(HOSTILE,)
    )
    table = report.tables[0]
    rows = tuple((d, HOSTILE if s == "output" else s, *rest) for d, s, *rest in table.rows)
    return replace(
        report,
        command=("seqprobe", HOSTILE),
        model=replace(
            report.model,
            name=HOSTILE + "\x00\ud800",
            plan={HOSTILE: [HOSTILE]},
            assumptions=(Assumption(HOSTILE, HOSTILE, "default", alternatives=(HOSTILE,)),),
            verification=(Verification(HOSTILE, "passed", HOSTILE, HOSTILE),),
        ),
        data=replace(report.data, source=HOSTILE, tokenizer=HOSTILE),
        verdict=replace(report.verdict, headline=HOSTILE),
        findings=(replace(report.findings[0], statement=HOSTILE, remedy=HOSTILE),),
        checks=(one, *report.checks[1:]),
        tables=(replace(table, rows=rows), *report.tables[1:]),
        warnings=(HOSTILE,),
    )


@pytest.fixture(scope="session")
def report() -> Report:
    return build()


@pytest.fixture(scope="session")
def three() -> list[Report]:
    return [build("lstm.pt", 5.4), build("gru.pt", 9.0), build("attention.pt", 30.0)]


@pytest.fixture(scope="session")
def hostile(report: Report) -> Report:
    return attack(report)


@pytest.fixture(scope="session")
def named() -> Callable[[str], Report]:
    return build


@pytest.fixture(scope="session")
def drawn_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, list[Report]], str]:
    """Draws a page, which takes seconds, in one of the parallel processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = base if worker_id == "master" else base.parent

    def drawn(name: str, reports: list[Report]) -> str:
        file = folder / f"{name}.html"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                file.write_text(render(reports), "utf-8")
        return file.read_text("utf-8")

    return drawn


@pytest.fixture(scope="session")
def single(drawn_once: Callable[..., str], report: Report) -> str:
    return drawn_once("single", [report])


@pytest.fixture(scope="session")
def several(drawn_once: Callable[..., str], three: list[Report]) -> str:
    return drawn_once("several", three)


@pytest.fixture(scope="session")
def attacked(drawn_once: Callable[..., str], hostile: Report, report: Report) -> str:
    return drawn_once("attacked", [hostile, report])
