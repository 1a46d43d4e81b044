"""SeqProbe: a measuring instrument for trained sequence models.

How far back does it see? What stops it? What does that cost? What should I change?
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqprobe.analysis import analyze, compare, load
    from seqprobe.contracts import (
        Estimate,
        Finding,
        Measurement,
        Needs,
        Observation,
        Probe,
        Series,
    )
    from seqprobe.models.by_prefix import ByPrefix
    from seqprobe.models.sequence_model import SequenceModel
    from seqprobe.report import Comparison, Report
    from seqprobe.training.session import attach

__all__ = [
    "ByPrefix",
    "Comparison",
    "Estimate",
    "Finding",
    "Measurement",
    "Needs",
    "Observation",
    "Probe",
    "Report",
    "SequenceModel",
    "Series",
    "analyze",
    "attach",
    "compare",
    "load",
]

_HOME = {
    "analysis": ("analyze", "compare", "load"),
    "contracts": ("Estimate", "Finding", "Measurement", "Needs", "Observation", "Probe", "Series"),
    "models.by_prefix": ("ByPrefix",),
    "models.sequence_model": ("SequenceModel",),
    "report": ("Comparison", "Report"),
    "training.session": ("attach",),
}


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for."""
    import importlib

    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"seqprobe.{module}"), name)
    raise AttributeError(f"module 'seqprobe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
