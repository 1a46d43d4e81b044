"""How many operators have to wait for one another as the sequence grows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from seqprobe.contracts import Estimate, Evidence, Measurement, Needs, Observation, Probe, Series
from seqprobe.estimators.growth import exact_exponent, lengths_up_to
from seqprobe.probes.evidence.once import costs_of_first

LONGEST = 512


@dataclass(frozen=True)
class SequentialDepth(Probe):
    """The longest chain of operators, and the work beside it, at five lengths."""

    id: ClassVar[str] = "sequential-depth"
    passes: ClassVar[float] = 10.0
    title: ClassVar[str] = "Sequential depth and work"
    question: ClassVar[str] = "How many operators must wait for one another as the text grows?"
    method: ClassVar[str] = (
        "Runs of five lengths, each half of the next, are followed operator by operator with fused "
        "operators taken apart. The depth is the longest chain from any input to any output; the "
        "work are the FLOPs of matrix products and convolutions, two for each multiplication and "
        "addition. Exponents are slopes of logarithms over the logarithm of length."
    )
    reading: ClassVar[str] = (
        "Exponent 1 means that every step waits for the one before; 0 that all positions go at "
        "once. No hardware is faster than the depth, however many processors it has; work over "
        "depth is how many FLOPs each of its steps could share."
    )
    limits: ClassVar[str] = (
        "The depth is that of the executed form, and counts operators, not their time. An interval "
        "that is wide says that the curve is no power law: a constant part and a growing one mix. "
        "FLOPs of operators on single elements are not counted."
    )
    references: ClassVar[tuple[str, ...]] = (
        "The parallel evaluation of general arithmetic expressions (Brent, 1974)",
        "Attention is all you need (Vaswani et al., 2017)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="iid", costs=True, lengths=True, sequences=1, length=LONGEST)

    def observe(self, observation: Observation) -> Evidence:
        costs = costs_of_first(observation)
        if costs is None:
            return {}
        lengths = lengths_up_to(observation.inputs.shape[1])
        traces = [costs.trace(observation.inputs[:1, :length]) for length in lengths]
        return {
            "length": np.array([lengths], dtype=np.float64),
            "depth": np.array([[trace.depth for trace in traces]], dtype=np.float64),
            "flops": np.array([[trace.flops for trace in traces]], dtype=np.float64),
            "unknown": np.array([", ".join(traces[-1].without_rule)]),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        length, depth, flops = (evidence[name][0] for name in ("length", "depth", "flops"))
        metrics = {
            "exponent": exact_exponent(length, depth, "no output depends on any input"),
            "depth": Estimate(float(depth[-1]), "operators", exact=True),
            "flops": Estimate(float(flops[-1]), "FLOPs", exact=True),
            "flops_exponent": exact_exponent(length, flops, "there is no matrix product"),
            "parallelism": _parallelism(flops[-1], depth[-1]),
        }
        columns = {"length": length.astype(int), "depth": depth.astype(int), "flops": flops}
        unknown = str(evidence["unknown"][0])
        return Measurement(
            headline=_headline(metrics, int(length[-1])),
            metrics=metrics,
            key="exponent",
            series=(
                Series.of(
                    "sequential-depth",
                    columns,
                    {"length": "tokens", "depth": "operators", "flops": "FLOPs"},
                ),
            ),
            warnings=(f"{unknown} taken to wait for everything",) if unknown else (),
        )


def _parallelism(flops: float, depth: float) -> Estimate:
    if not depth:
        return Estimate.missing("FLOPs per operator", "no output depends on any input", exact=True)
    return Estimate(float(flops / depth), "FLOPs per operator", exact=True)


def _headline(metrics: dict[str, Estimate], length: int) -> str:
    slope = metrics["exponent"]
    if slope.value is None:
        return f"{slope.reason[0].upper()}{slope.reason[1:]}."
    grows = "whatever the length" if slope.value == 0 else f"growing as n^{slope.value:.2f}"
    return (
        f"{metrics['depth'].value:,.0f} operators wait for one another at {length} tokens, {grows}."
    )
