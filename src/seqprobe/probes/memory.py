"""What has to be kept: between steps, per token, and for a backward pass."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from seqprobe.contracts import (
    Carried,
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Observation,
    Probe,
    Series,
)
from seqprobe.estimators import byte_counts
from seqprobe.estimators.growth import exact_exponent, lengths_up_to
from seqprobe.probes.evidence.once import costs_of_first

LONGEST = 4096


@dataclass(frozen=True)
class Memory(Probe):
    """Bytes of state, of cache per token, and of what a forward keeps for its backward."""

    id: ClassVar[str] = "memory"
    passes: ClassVar[float] = 5.0
    title: ClassVar[str] = "Memory"
    question: ClassVar[str] = "How many bytes are kept as the text grows?"
    method: ClassVar[str] = (
        "Bytes for one sequence. Kept for training: what automatic differentiation saves in a "
        "forward, each storage once, parameters left out, at five lengths. Carried from step to "
        "step: the model's own cache where it returns one, else the sizes of recurrent states and "
        "of the keys and values of attention. Linear attention would keep a matrix from keys to "
        "values for each head in their place."
    )
    reading: ClassVar[str] = (
        "A state of fixed size can read for ever. A cache grows with every token. An exponent of "
        "2 in training is the square of attention maps; fused attention keeps it at 1."
    )
    limits: ClassVar[str] = (
        "Dropout masks, optimiser states and the temporaries of kernels are not counted, on a GPU "
        "apart from the measured peak. An interval that is wide says that the curve is no power "
        "law. Caches that a model would keep in code of its own are not known."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Reducing activation recomputation in large transformer models (Korthikanti et al., 2022)",
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
        peaks = [costs.peak(inputs[:, :length]) for length in lengths]
        carried = costs.carried(inputs)
        return {
            "length": np.array([lengths], dtype=np.float64),
            "training": np.array([[float(costs.saved(inputs[:, :n])) for n in lengths]]),
            "peak": np.array([[np.nan if peak is None else float(peak) for peak in peaks]]),
            "carried": np.array([[*map(_or_nan, (carried.state, carried.per_token))]]),
            "linear": np.array([_or_nan(carried.linear)]),
            "words": np.array([[carried.told_by, carried.reason]]),
            "parameters": np.array([float(costs.parameters())]),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        length, training = evidence["length"][0], evidence["training"][0]
        carried = _carried(evidence)
        known = carried.reason or f"from {carried.told_by}"
        metrics = {
            "state_bytes": _bytes(carried.state, known),
            "cache_bytes_per_token": _bytes(carried.per_token, known, "bytes per token"),
            "linear_state_bytes": _bytes(carried.linear, "no heads of attention are known"),
            "training_exponent": exact_exponent(length, training, "nothing is kept for a backward"),
            "training_bytes": _bytes(int(training[-1])),
            "parameter_bytes": _bytes(int(evidence["parameters"][0])),
        }
        columns = {"length": length.astype(int), "training": training}
        if carried.state is not None and carried.per_token is not None:
            columns["carried"] = carried.state + carried.per_token * length
        if np.isfinite(evidence["peak"]).all():
            columns["peak"] = evidence["peak"][0]
        units = dict.fromkeys(("training", "carried", "peak"), "bytes") | {"length": "tokens"}
        return Measurement(
            headline=_headline(carried, metrics, int(length[-1])),
            metrics=metrics,
            key="state_bytes" if carried.state else "training_exponent",
            series=(Series.of("memory", columns, units),),
        )


def _or_nan(number: int | None) -> float:
    return np.nan if number is None else float(number)


def _carried(evidence: Evidence) -> Carried:
    told_by, reason = evidence["words"][0].tolist()
    if reason:
        return Carried(None, None, reason=reason)
    (state, per_token), linear = evidence["carried"][0].tolist(), float(evidence["linear"][0])
    return Carried(
        int(state), int(per_token), told_by, linear=None if np.isnan(linear) else int(linear)
    )


def _bytes(number: int | None, reason: str = "", unit: str = "bytes") -> Estimate:
    return Estimate(
        None if number is None else float(number), unit, exact=number is not None, reason=reason
    )


def _headline(carried: Carried, metrics: dict[str, Estimate], length: int) -> str:
    parts = []
    if carried.state:
        parts.append(f"carries {byte_counts.written(carried.state)} from step to step")
    if carried.per_token:
        parts.append(f"keeps {byte_counts.written(carried.per_token)} for each token")
    if carried.reason:
        parts.append(f"carries an unknown amount ({carried.reason})")
    training = metrics["training_bytes"].value or 0.0
    parts.append(f"training keeps {byte_counts.written(training)} at {length} tokens")
    joined = "; ".join(parts)
    return f"{joined[0].upper()}{joined[1:]}."
