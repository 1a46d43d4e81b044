"""Rules about the weights themselves."""

from collections.abc import Iterator

from seqprobe.contracts import Estimate, Finding
from seqprobe.diagnosis.case import Case


def not_finite(case: Case) -> Iterator[Finding]:
    """NaN or infinity somewhere, although the outputs are still finite."""
    if not case.nonfinite:
        return
    yield Finding(
        rule="weights-not-finite",
        check="weights",
        status="problem",
        statement=f"{len(case.nonfinite)} tensors hold NaN or infinity, the first "
        f"{case.nonfinite[0]}.",
        metric="nonfinite",
        evidence=Estimate(float(len(case.nonfinite)), "tensors", exact=True),
        threshold="any",
        source="theory",
        reference="",
        remedy="Go back to a checkpoint from before training diverged.",
        falsified_by="Nothing: it stands in the file.",
    )


RULES = (not_finite,)
