"""How much to measure, in one word."""

import difflib
from dataclasses import dataclass

from seqprobe.errors import UsageError
from seqprobe.estimators.information import Effort


@dataclass(frozen=True)
class Budget:
    """What holds where nothing else is asked for.

    `share`: of the sequences that each probe would like to see. `precision`, `exact` and `effort`
    go to the probes that know them.
    """

    share: float = 1.0
    precision: float = 0.05
    exact: bool = False
    effort: Effort = "ensemble"


BUDGETS = {
    "quick": Budget(share=0.25, precision=0.2, effort="linear"),
    "standard": Budget(),
    "full": Budget(precision=0.02, exact=True, effort="full"),
}


def budget_named(name: str) -> Budget:
    """One of `quick`, `standard` and `full`."""
    if name in BUDGETS:
        return BUDGETS[name]
    near = difflib.get_close_matches(name, BUDGETS, n=1)
    raise UsageError(
        f"no budget {name!r}",
        expected=f"one of {', '.join(BUDGETS)}",
        do=f"Did you mean {near[0]!r}?" if near else "",
    )
