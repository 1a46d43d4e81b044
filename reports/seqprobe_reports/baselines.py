"""What a check may be measured on for comparison, and how the page calls it."""

from __future__ import annotations

from collections.abc import Collection

from seqprobe.contracts import Baseline

ITSELF = "trained"
BASELINES: dict[Baseline, str] = {
    "untrained": "untrained",
    "iid": "independent inputs",
    "data": "the data",
}


def variants(metric: str, metrics: Collection[str]) -> dict[str, str]:
    """The metric and its baselines: what each was measured on, and its name.

    >>> variants("horizon", ["horizon", "half_life", "horizon_iid"])
    {'trained': 'horizon', 'independent inputs': 'horizon_iid'}
    """
    beside = {label: f"{metric}_{baseline}" for baseline, label in BASELINES.items()}
    return {ITSELF: metric} | {label: name for label, name in beside.items() if name in metrics}
