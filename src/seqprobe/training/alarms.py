"""Early warnings: rules of the diagnosis that hold for several measurements in a row."""

from collections import defaultdict
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

    Raises:
        UsageError: the patience is no number of measurements.
    """

    distance: int
    family: str
    patience: int
    _in_a_row: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        if not isinstance(self.patience, int) or self.patience < 1:
            raise UsageError(
                "a patience that is no number of measurements",
                where="attach(patience=...)",
                got=f"{self.patience!r}",
                expected="an integer from 1 on",
            )

    def hear(self, check: str, measurement: Measurement) -> tuple[Finding, ...]:
        """The findings that this measurement of a check sets off."""
        case = Case({check: measurement}, self.distance, self.family)
        fired = {found.rule: found for found in diagnose(case) if found.status in GRAVE}
        before = self._in_a_row[check]
        self._in_a_row[check] = {rule: before.get(rule, 0) + 1 for rule in fired}
        return tuple(
            found for rule, found in fired.items() if self._in_a_row[check][rule] == self.patience
        )
