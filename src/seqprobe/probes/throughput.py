"""How long it takes as the sequence grows, and how much of the device that uses."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from seqprobe.contracts import (
    Costs,
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Series,
)
from seqprobe.estimators.bootstrap import curve_interval, number_interval
from seqprobe.estimators.growth import (
    FEWEST,
    exponent,
    exponents,
    extrapolated,
    lengths_up_to,
    resampled_medians,
)
from seqprobe.probes.evidence.once import costs_of_first

LONGEST, TRACED, ROUNDS = 4096, 256, 9
WAYS = ("forward", "training", "decoding")


@dataclass(frozen=True)
class Throughput(Probe):
    """Seconds per token, forward, with backward, and step by step, at five lengths."""

    id: ClassVar[str] = "throughput"
    passes: ClassVar[float] = 60.0
    title: ClassVar[str] = "Throughput"
    question: ClassVar[str] = "How does the time per token grow, and is the device busy?"
    method: ClassVar[str] = (
        f"One sequence, {ROUNDS} rounds over five lengths in changing order after one to warm up; "
        "medians, with intervals from rounds drawn again. Decoding is one more token: a single "
        "step where the state has a fixed size, else everything read again. Utilisation is FLOPs, "
        "and bytes that operators touch, per second of forward, over what a large matrix product "
        "and a large copy reach on the same device."
    )
    reading: ClassVar[str] = (
        "The exponent is that of the time per token: 0 where each token costs the same, towards 1 "
        "where each looks at all others, below 0 where a fixed effort is shared by more tokens."
    )
    limits: ClassVar[str] = (
        "A batch of one sequence, on this device as busy as it was. Bytes are counted operator by "
        "operator; fused kernels touch fewer. Models with a cache of their own are timed without "
        "it."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Roofline: an insightful visual performance model (Williams et al., 2009)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="iid", costs=True, lengths=True, sequences=1, length=LONGEST)

    def observe(self, observation: Observation) -> Evidence:
        costs = costs_of_first(observation)
        if costs is None:
            return {}
        inputs = observation.inputs[:1]
        lengths = lengths_up_to(inputs.shape[1])
        seconds = self._rounds(costs, [inputs[:, :length] for length in lengths])
        work, touched = _work(costs, inputs)
        return {
            "length": np.array([lengths], dtype=np.float64),
            **{way: seconds[way][None] for way in WAYS},
            "work": np.array([work]),
            "touched": np.array([touched]),
            "ceilings": np.array([costs.ceilings()]),
        }

    def _rounds(self, costs: Costs, inputs: list[Tensor]) -> dict[str, np.ndarray]:
        """Seconds of every round at every length, (rounds, lengths), by way."""
        carried = costs.carried(inputs[-1])
        stepwise = carried.per_token == 0
        seconds = {way: np.zeros((ROUNDS + 1, len(inputs))) for way in WAYS}
        for turn in range(ROUNDS + 1):
            for index in self.random(turn).permutation(len(inputs)):
                given = inputs[index]
                seconds["forward"][turn, index] = costs.seconds(given)
                seconds["training"][turn, index] = costs.seconds(given, backward=True)
                seconds["decoding"][turn, index] = (
                    costs.seconds(given[:, :1]) if stepwise else seconds["forward"][turn, index]
                )
        return {way: rounds[1:] for way, rounds in seconds.items()}

    def measure(self, evidence: Evidence) -> Measurement:
        length = evidence["length"][0]
        rounds = {way: evidence[way][0] for way in WAYS}
        floating, moving = evidence["ceilings"][0]
        forward = rounds["forward"][:, -1]
        metrics = {
            "exponent": _exponent(length, rounds["forward"]),
            "training_exponent": _exponent(length, rounds["training"]),
            "tokens_per_second": _rate(length[-1], forward, "tokens per second"),
            "training_tokens_per_second": _rate(
                length[-1], rounds["training"][:, -1], "tokens per second"
            ),
            "decoded_tokens_per_second": _rate(1.0, rounds["decoding"][:, -1], "tokens per second"),
            "flops_utilisation": _rate(evidence["work"][0] / floating, forward, ""),
            "bytes_utilisation": _rate(evidence["touched"][0] / moving, forward, ""),
        }
        columns = {"length": length.astype(int)}
        for way in WAYS:
            low, high = curve_interval(resampled_medians(rounds[way]), ROUNDS)
            columns |= {
                f"{way}_seconds": np.median(rounds[way], axis=0),
                f"{way}_low": low,
                f"{way}_high": high,
            }
        units = dict.fromkeys(columns, "seconds") | {"length": "tokens"}
        return Measurement(
            headline=_headline(metrics, int(length[-1])),
            metrics=metrics,
            key="exponent",
            series=(Series.of("throughput", columns, units),),
        )


def _work(costs: Costs, inputs: Tensor) -> tuple[float, float]:
    """FLOPs, and bytes touched, of one forward, from traces of shorter sequences."""
    lengths = lengths_up_to(min(TRACED, inputs.shape[1]))
    traces = [costs.trace(inputs[:, :length]) for length in lengths]
    flops, touched = ([float(getattr(t, what)) for t in traces] for what in ("flops", "touched"))
    at, longest = np.array(lengths, dtype=np.float64), float(inputs.shape[1])
    return _at(longest, at, np.array(flops)), _at(longest, at, np.array(touched))


def _at(longest: float, lengths: np.ndarray, values: np.ndarray) -> float:
    """None of it where there was none; NaN where no law can be told."""
    found = extrapolated(lengths, values, np.array([longest]))
    if found is None:
        return np.nan if values.any() else 0.0
    return float(found[0])


def _exponent(length: np.ndarray, rounds: np.ndarray) -> Estimate:
    """Of the time per token."""
    if len(length) < FEWEST:
        return Estimate.missing("", f"{len(length)} lengths are too few")
    slope = exponent(length, np.median(rounds, axis=0) / length)[0]
    medians = resampled_medians(rounds)
    interval = number_interval(exponents(length, medians / length), len(rounds))
    null = Null("each token costs the same", 0.0)
    return Estimate.sampled(slope, "", interval, n=len(rounds), null=null)


def _rate(amount: float, seconds: np.ndarray, unit: str) -> Estimate:
    """An amount per second, by the median over rounds."""
    again = amount / resampled_medians(seconds[:, None])[:, 0]
    interval = number_interval(again, len(seconds))
    value, null = float(amount / np.median(seconds)), Null("nothing done", 0.0)
    beyond = "what is done over length follows no law"
    return Estimate.sampled(value, unit, interval, n=len(seconds), null=null, beyond=beyond)


def _headline(metrics: dict[str, Estimate], length: int) -> str:
    forward, training, slope = (
        metrics[name] for name in ("tokens_per_second", "training_tokens_per_second", "exponent")
    )
    grows = "" if slope.value is None else f"; the time per token grows as n^{slope.value:.2f}"
    return (
        f"At {length} tokens {forward.value:,.0f} tokens per second forward, "
        f"{training.value:,.0f} in training{grows}."
    )
