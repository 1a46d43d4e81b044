"""From what a run gave to the report that is written down."""

import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Literal

import torch

from seqprobe.contracts import Finding, Measurement, Readout, Series, Status
from seqprobe.diagnosis.case import Case, Demands
from seqprobe.diagnosis.diagnose import ORDER, diagnose, status_of
from seqprobe.diagnosis.verdict import verdict
from seqprobe.diagnosis.wording import in_steps, of_noise
from seqprobe.estimators.spaced import spaced
from seqprobe.models.precision import alike, of_products
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.records import (
    FLOOR,
    Check,
    DataRecord,
    Environment,
    Figure,
    ModelRecord,
    Verdict,
    Verification,
)
from seqprobe.report import Report
from seqprobe.runner.observe import SOME, readout_of
from seqprobe.runner.outcome import Outcome
from seqprobe.runner.run import Run
from seqprobe.sequences.streams import Stream

DIGITS, SITES, DISTANCES = 7, 8, 256
NEAR, PER_OCTAVE = 128, 16
LOSS_SEQUENCES = 8
CUT_SHORT = "measured on the sequences seen until then."


def assemble(
    model: SequenceModel,
    record: ModelRecord,
    data: Stream,
    result: Run,
    *,
    distance: int,
    length: int,
    seed: int,
    command: tuple[str, ...],
    seconds: float,
    demands: Demands,
) -> Report:
    """Write down measurements, draw conclusions, and say how it all came about."""
    measured = {o.probe.id: o.measurement for o in result.outcomes if o.measurement is not None}
    bits, floor = _loss_and_floor(model, data, length)
    case = Case(
        measured,
        distance,
        model.family,
        record.nonfinite,
        demands,
        dtypes=record.stored or record.dtypes,
        length=length,
        predicts=None if bits is None or floor is None else bits < floor,
        real=model.features is not None,
    )
    findings, read_out = diagnose(case), _readout(model, data, result, length)
    summary = verdict(case, findings)
    if case.real:
        findings, summary = in_steps(findings), in_steps(summary)
        measured = {id: in_steps(measurement) for id, measurement in measured.items()}
    checks = tuple(
        _worded(_check(outcome, measured.get(outcome.probe.id), findings), outcome, case, read_out)
        for outcome in result.outcomes
    )
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        distance=distance,
        environment=_environment(model, seed),
        model=replace(
            record,
            verification=(
                *record.verification,
                *_steps(model, result, bits, floor, _judged(record)),
                *_predicting(read_out),
                *_swept(model, case),
            ),
        ),
        data=_data_record(data, result, length, floor),
        verdict=_verdict(summary, findings, checks),
        findings=findings,
        checks=checks,
        figures=tuple(_figure(check) for check in checks if check.figures),
        tables=tuple(_shown(table, distance) for m in measured.values() for table in m.series),
        timing={"total": round(seconds, 2)},
        warnings=_warnings(model, result),
    )


def _shown(table: Series, distance: int) -> Series:
    """Kept small, whatever the model and however long the sequences."""
    near = partial(spaced, dense=NEAR, per_octave=PER_OCTAVE, also=(distance,))
    return table.of_few_sites(SITES).of_few_distances(DISTANCES, near).rounded(DIGITS)


def _readout(model: SequenceModel, data: Stream, result: Run, length: int) -> Readout | None:
    """As it was for probes that rerun the model on the data; None where there were none."""
    fed = [each for each in result.outcomes if each.probe.needs.rerun and each.measurement]
    if not fed or model.features is None:
        return None
    numbers = range(min(SOME, max(map(_seen, fed))))
    return readout_of(model, data.take(numbers, length).to(model.device))


def _predicting(readout: Readout | None) -> list[Verification]:
    """That real-valued outputs are predictions."""
    if readout is None or not readout.says:
        return []
    said = f"{readout.explained:.1%} of their variance explained"
    status: Literal["passed", "failed"] = "passed" if readout.explained > 0 else "failed"
    return [Verification("predicts the next inputs better than their mean does", status, said)]


def _worded(check: Check, outcome: Outcome, case: Case, readout: Readout | None) -> Check:
    """Real values are no tokens, and their noise is told."""
    if not case.real:
        return check
    if readout and check.metrics and outcome.probe.needs.rerun:
        check = replace(check, method=f"{check.method} {of_noise(readout)}")
    return in_steps(check)


def _check(outcome: Outcome, measurement: Measurement | None, findings: Sequence[Finding]) -> Check:
    probe = type(outcome.probe)
    if outcome.error:
        return Check.without_result(probe, "error", outcome.error)
    if outcome.not_applicable:
        return Check.without_result(probe, "not applicable", outcome.not_applicable)
    if measurement is None:
        return Check.without_result(probe, "not run", "Interrupted before it saw any sequence.")
    first = next((finding for finding in findings if finding.check == probe.id), None)
    return replace(
        Check.of(probe, measurement, seconds=round(outcome.seconds, 2)),
        status=status_of(probe.id, findings),
        threshold=first.threshold if first else "",
        remedy=first.remedy if first else "",
    )


def _figure(check: Check) -> Figure:
    return Figure(check.figures[0], check.title, check.headline, check.reading, check.tables[0])


def _verdict(summary: str, findings: Sequence[Finding], checks: Sequence[Check]) -> Verdict:
    counts = Counter(check.status for check in checks)
    worst: Status = findings[0].status if findings else "info"
    if not summary:
        summary = next((check.headline for check in checks), "Nothing was measured.")
    return Verdict(worst, summary, {s: counts[s] for s in ORDER if counts[s]})


def _steps(
    model: SequenceModel, result: Run, bits: float | None, floor: float | None, judged: bool
) -> list[Verification]:
    """How we know that this is the user's model."""
    steps = [Verification("finite outputs", "passed")]
    if bits is not None and floor is not None and not judged:
        steps.append(Verification.better(FLOOR, bits, floor, "bits per token"))
    if result.largest_difference is not None:
        difference = result.largest_difference
        steps.append(
            Verification(
                "probed forward equals the plain forward",
                "passed" if difference < alike(model.dtype, model.device) else "failed",
                f"largest relative difference {difference:.1e}",
            )
        )
    return steps


def _judged(record: ModelRecord) -> bool:
    """Whether it was held against the data already, when it was rebuilt."""
    return any(step.step == FLOOR for step in record.verification)


def _swept(model: SequenceModel, case: Case) -> list[Verification]:
    """How we know that the fast gradients are the right ones."""
    if "gradient-decay" not in case.measurements or not model.sweepable:
        return []
    return [Verification("swept gradients equal automatic differentiation", "passed")]


def _loss_and_floor(
    model: SequenceModel, data: Stream, length: int
) -> tuple[float | None, float | None]:
    """Mean bits per next token, and what knowing the token frequencies alone would give.

    Nothing of models that look ahead: they are shown the next token.
    """
    if data.guess is None or not model.causal or model.predicts == "classes":
        return None, None
    tokens = data.take(range(LOSS_SEQUENCES), length).to(model.device)
    outputs = model(tokens)
    if outputs.shape[-1] != len(data.guess):
        return None, None
    told = outputs[:, :-1].double().log_softmax(-1).gather(-1, tokens[:, 1:, None])
    chances = data.guess.double().clamp(min=1e-12).log()[tokens[:, 1:].cpu()]
    return -told.mean().item() / math.log(2), -chances.mean().item() / math.log(2)


def _data_record(data: Stream, result: Run, length: int, floor: float | None) -> DataRecord:
    fed = [outcome for outcome in result.outcomes if outcome.probe.needs.stream == "data"]
    sequences = max((_seen(outcome) for outcome in fed), default=0)
    return DataRecord(
        source=data.source,
        sha256=data.sha256,
        tokenizer=data.tokenization,
        sequences=sequences,
        tokens=sequences * length,
        split=data.split,
        unigram_nll=floor,
    )


def _seen(outcome: Outcome) -> int:
    return sum(len(rows["sequence"]) for rows in outcome.probe.evidence)


def _warnings(model: SequenceModel, result: Run) -> tuple[str, ...]:
    warnings = []
    if result.cut_short:
        warnings.append(f"{result.cut_short}: {CUT_SHORT}")
    if model.mixes_batch_rows:
        warnings.append(
            "Rows of a batch influence each other: a sequence is not read alone. Check batch_first."
        )
    if (result.largest_difference or 0.0) >= alike(model.dtype, model.device):
        warnings.append(
            "The probed forward differs from the plain one; do not trust gradients and states."
        )
    return tuple(warnings)


def _environment(model: SequenceModel, seed: int) -> Environment:
    return Environment(
        **{
            name: _version(name)
            for name in ("seqprobe", "torch", "captum", "numpy", "scipy", "seaborn")
        },
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        seed=seed,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        float32=of_products(model.device),
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
