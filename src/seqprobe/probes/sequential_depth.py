"""How many operators have to wait for one another as the sequence grows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from seqprobe.contracts import Estimate, Evidence, Measurement, Needs, Observation, Probe, Series
from seqprobe.estimators.form import Form, form_of
from seqprobe.estimators.growth import exact_exponent, lengths_up_to
from seqprobe.probes.evidence.once import costs_of_first

LONGEST = 512


@dataclass(frozen=True)
class SequentialDepth(Probe):
    """The longest chain of operators, and the work beside it, at five lengths."""

    id: ClassVar[str] = "sequential-depth"
    version: ClassVar[int] = 2
    passes: ClassVar[float] = 10.0
    title: ClassVar[str] = "Sequential depth and work"
    question: ClassVar[str] = "How many operators must wait for one another as the text grows?"
    method: ClassVar[str] = (
        "Runs of five lengths, powers of two, are followed operator by operator with fused "
        "operators taken apart. The depth is the longest chain from any input to any output; the "
        "work are the FLOPs of matrix products and convolutions, two for each multiplication and "
        "addition. Depths are whole numbers: the form of execution is the law that their rises "
        "follow exactly. Exponents are slopes of logarithms over the logarithm of length."
    )
    reading: ClassVar[str] = (
        "The same growth for each token: every step waits for the one before. The same for each "
        "doubling: a parallel scan. None: all positions go at once, as in a convolution or "
        "attention. Less than one operator for each token: chunks, one after the other. No "
        "hardware is faster than the depth, however many processors it has; work over depth is how "
        "many FLOPs each of its steps could share."
    )
    limits: ClassVar[str] = (
        "The depth is that of the executed form: other kernels, lengths or devices may choose "
        "another one. It counts operators, not their time. What grows only beyond the longest "
        "length is not seen. The exponent misleads where a constant part and a growing one mix; "
        "its interval is wide then. FLOPs of operators on single elements are not counted."
    )
    references: ClassVar[tuple[str, ...]] = (
        "The parallel evaluation of general arithmetic expressions (Brent, 1974)",
        "Attention is all you need (Vaswani et al., 2017)",
        "Parallelizing linear recurrent neural nets over sequence length (Martin and Cundy, 2018)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="iid", costs=True, lengths=True, sequences=1, length=LONGEST)

    def observe(self, observation: Observation) -> Evidence:
        costs = costs_of_first(observation)
        if costs is None:
            return {}
        lengths = lengths_up_to(1 << observation.inputs.shape[1].bit_length() - 1)
        traces = [costs.trace(observation.inputs[:1, :length]) for length in lengths]
        return {
            "length": np.array([lengths], dtype=np.float64),
            "depth": np.array([[trace.depth for trace in traces]], dtype=np.float64),
            "flops": np.array([[trace.flops for trace in traces]], dtype=np.float64),
            "unknown": np.array([", ".join(traces[-1].without_rule)]),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        length, depth, flops = (evidence[name][0] for name in ("length", "depth", "flops"))
        form = form_of(length.astype(int).tolist(), depth.astype(int).tolist())
        metrics = {
            "exponent": exact_exponent(length, depth, "no output depends on any input"),
            "depth": Estimate(float(depth[-1]), "operators", exact=True),
            "operators_per_token": _added(form, "token", depth),
            "operators_per_doubling": _added(form, "doubling", depth),
            "flops": Estimate(float(flops[-1]), "FLOPs", exact=True),
            "flops_exponent": exact_exponent(length, flops, "there is no matrix product"),
            "parallelism": _parallelism(flops[-1], depth[-1]),
        }
        columns = {"length": length.astype(int), "depth": depth.astype(int), "flops": flops}
        unknown = str(evidence["unknown"][0])
        return Measurement(
            headline=_headline(metrics, form, int(length[0]), int(length[-1])),
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


def _added(form: Form | None, each: str, depth: np.ndarray) -> Estimate:
    unit = f"operators per {each}"
    if form is None:
        rises = ", ".join(f"{rise:+.0f}" for rise in np.diff(depth)) or "nothing"
        return Estimate.missing(unit, f"from length to length the depth changes by {rises}")
    added = float(form.per_token if each == "token" else form.per_doubling)
    return Estimate(added, unit, exact=form.exact)


def _headline(metrics: dict[str, Estimate], form: Form | None, first: int, length: int) -> str:
    slope, depth = metrics["exponent"], metrics["depth"].value
    if slope.value is None:
        return f"{slope.reason[0].upper()}{slope.reason[1:]}."
    waits = f"{depth:,.0f} operators wait for one another at {length} tokens"
    if form is None:
        untold = metrics["operators_per_token"].reason
        return f"{waits}, growing as n^{slope.value:.2f}; the form cannot be told: {untold}."
    added = {"token": form.per_token, "doubling": form.per_doubling}
    about = "" if form.exact else "but for a few steps "
    more = [
        f"{about}{float(count):.3g} more for each {each}" for each, count in added.items() if count
    ]
    since = f" from {form.start} tokens on" if form.start > first else ""
    if not more:
        return f"{waits}: {form.name}, the same from {form.start} tokens on."
    return f"{waits}: {form.name}{since}, {' and '.join(more)}."
