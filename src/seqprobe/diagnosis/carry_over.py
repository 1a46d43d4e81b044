"""Rules about what goes from call to call."""

from collections.abc import Iterator

from seqprobe.contracts import Estimate, Finding, Status
from seqprobe.diagnosis.case import Case, above

SAME, WORTH = 1e-3, 0.01


def chunks_differ(case: Case) -> Iterator[Finding]:
    """The model's own state does not continue what was read."""
    error, most = case.estimate("carry-over.equivalence_error"), max(SAME, _rounding(case))
    if error is None or not above(error, most):
        return
    yield _finding(
        "chunks-differ", "equivalence_error", error, f"difference below {most:.0e} of the outputs",
        "Read in chunks through the model's own state, outputs differ from those of one pass by "
        f"{error.value:.1g} of the largest.",
        "Streaming with this state gives other answers than reading at once.",
        "Look at position offsets, at masks, and at parts of the state that are not handed on; the "
        "table shows the first chunk that differs.",
        "Chunks and one pass that agree on the same inputs.",
    )  # fmt: skip


def only_single_steps_go_on(case: Case) -> Iterator[Finding]:
    """The model's own state is right, but a chunk of several tokens makes something else of it."""
    error, most = case.estimate("carry-over.chunk_error"), max(SAME, _rounding(case))
    if error is None or not above(error, most):
        return
    yield _finding(
        "only-single-steps", "chunk_error", error, f"difference below {most:.0e} of the outputs",
        "After others, a chunk of several tokens does not go on with what was read: its outputs "
        f"differ from those of one pass by {error.value:.1g} of the largest. One token at a time "
        "does.",
        "Streaming in chunks gives other answers, and nothing says so.",
        "Read the first chunk at once and all others token by token, or refuse chunks of several "
        "tokens where a state is given.",
        "Chunks and one pass that agree on the same inputs.", "attention",
    )  # fmt: skip


def calls_leak(case: Case) -> Iterator[Finding]:
    """An equal call gives something else after others."""
    yield from _leak(
        case, "call_leakage",
        "The same batch, read again after others, gives other outputs: they differ by {} of the "
        "largest.",
        "Something is left over from call to call, or random in evaluation mode: no two answers "
        "can be compared.",
        "Begin every call with a fresh state, and write no buffers in evaluation mode.",
    )  # fmt: skip


def rows_leak(case: Case) -> Iterator[Finding]:
    """A sequence is read differently in other company."""
    yield from _leak(
        case, "row_leakage",
        "Outputs for a sequence depend on what else is in its batch: they differ by {} of the "
        "largest.",
        "An answer changes with its neighbours, and what is measured here mixes sequences.",
        "Look for means, sorts or states over the batch, and for axes taken for one another.",
    )  # fmt: skip


def state_thrown_away(case: Case) -> Iterator[Finding]:
    """Carrying would help, and the module does not."""
    gain, error = case.estimate("carry-over.gain_bits"), case.metric("carry-over.equivalence_error")
    if gain is None or not above(gain, WORTH) or error is None or error.value is not None:
        return
    yield Finding(
        rule="state-thrown-away",
        check="carry-over",
        status="attention" if case.demands.streaming else "info",
        statement=f"What was read is thrown away after each call, because {error.reason}.",
        consequence=f"That costs {gain.value:.2g} bits per token at the beginning of the next "
        "call.",
        metric="gain_bits",
        evidence=gain,
        threshold=f"gain above {WORTH} bits, and no state that is carried",
        source="our convention",
        reference="Transformer-XL (Dai et al., 2019)",
        remedy="Return the state (for attention: keys and values) and take it as an argument, or "
        "let inputs overlap.",
        falsified_by="The same loss at the beginning of a call as later.",
    )


def _leak(
    case: Case, metric: str, statement: str, consequence: str, remedy: str
) -> Iterator[Finding]:
    leak, most = case.estimate(f"carry-over.{metric}"), _rounding(case)
    if leak is None or not above(leak, most):
        return
    yield _finding(
        metric.replace("_", "-"), metric, leak, f"difference below {most:.0e} of the outputs",
        statement.format(f"{leak.value:.1g}"), consequence, remedy,
        "Equal outputs from equal calls.",
    )  # fmt: skip


def _finding(
    rule: str, metric: str, evidence: Estimate, threshold: str,
    statement: str, consequence: str, remedy: str, falsified_by: str, status: Status = "problem",
) -> Finding:  # fmt: skip
    return Finding(
        rule=rule,
        check="carry-over",
        status=status,
        statement=statement,
        consequence=consequence,
        metric=metric,
        evidence=evidence,
        threshold=threshold,
        source="theory",
        reference="",
        remedy=remedy,
        falsified_by=falsified_by,
    )


def _rounding(case: Case) -> float:
    """What the last bits of the outputs may make."""
    rounding = case.metric("carry-over.rounding")
    return (rounding.value if rounding else None) or 0.0


RULES = (chunks_differ, only_single_steps_go_on, calls_leak, rows_leak, state_thrown_away)
