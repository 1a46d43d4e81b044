"""Early warnings: rules of the diagnosis that hold for several measurements in a row."""

from collections import Counter
from dataclasses import dataclass, field

from seqprobe.contracts import Finding, Measurement
from seqprobe.diagnosis.case import Case
from seqprobe.diagnosis.diagnose import diagnose
from seqprobe.errors import UsageError

GRAVE = ("problem", "attention")


@dataclass
class Alarms:
    """A rule sets off its alarm when it has fired at `patience` measurements in a row.

    One that rings stays silent until its rule has not fired for once. Rules fire only on estimates
    with an interval and a null, so that a single unlucky batch sets nothing off.
    """

    distance: int
    family: str
    patience: int
    _in_a_row: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise UsageError(
                "a patience that no measurement satisfies",
                where="attach(patience=...)",
                got=f"{self.patience}",
                expected="an integer from 1 on",
            )

    def hear(self, check: str, measurement: Measurement) -> tuple[Finding, ...]:
        """The findings that this measurement sets off."""
        case = Case({check: measurement}, self.distance, self.family)
        fired = {found.rule: found for found in diagnose(case) if found.status in GRAVE}
        for rule in self._of(check, fired):
            self._in_a_row[f"{check} {rule}"] += 1
        return tuple(
            found
            for rule, found in fired.items()
            if self._in_a_row[f"{check} {rule}"] == self.patience
        )

    def _of(self, check: str, fired: dict[str, Finding]) -> list[str]:
        """The rules that fired; those of this check that did not start again from zero."""
        for heard in list(self._in_a_row):
            if heard.startswith(f"{check} ") and heard.removeprefix(f"{check} ") not in fired:
                del self._in_a_row[heard]
        return list(fired)
