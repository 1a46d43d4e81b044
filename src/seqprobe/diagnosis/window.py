"""Rules about lengths: what is refused, what reading beyond the trained length costs."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below

HARMFUL = 1.05


def harmful_beyond(case: Case) -> Iterator[Finding]:
    """It would predict better if it read less."""
    ratio, trained = case.estimate("window.extrapolation_ratio"), _trained(case)
    if ratio is None or not above(ratio, HARMFUL):
        return
    yield Finding(
        rule="harmful-beyond-trained",
        check="window",
        status="attention",
        statement=f"Beyond {trained} the loss is {ratio.value:.3g} times that on the same tokens "
        "when less is read before them.",
        consequence="Reading on is harmful: more text makes it predict worse.",
        metric="extrapolation_ratio",
        evidence=ratio,
        threshold=f"ratio above {HARMFUL}",
        source="our convention",
        reference="Train short, test long (Press et al., 2022)",
        remedy="Give it no more than that at a time; or scale rotary positions, use linear biases "
        "(ALiBi), or a window that keeps the first tokens; or train on longer sequences.",
        falsified_by="A ratio below the threshold on other text.",
    )


def reads_on(case: Case) -> Iterator[Finding]:
    """Longer inputs do no harm."""
    ratio, trained = case.estimate("window.extrapolation_ratio"), _trained(case)
    if ratio is None or not below(ratio, HARMFUL):
        return
    yield Finding(
        rule="reads-on",
        check="window",
        status="fine",
        statement=f"Up to twice {trained} the loss is {ratio.value:.4g} times that on the same "
        "tokens when less is read before them.",
        consequence="Reading on does no harm.",
        metric="extrapolation_ratio",
        evidence=ratio,
        threshold=f"ratio below {HARMFUL}",
        source="our convention",
        reference="Train short, test long (Press et al., 2022)",
        remedy="",
        falsified_by="A ratio above the threshold on other text, or further out.",
    )


def refuses(case: Case) -> Iterator[Finding]:
    """The model itself says where it ends."""
    first = case.estimate("window.refused_length")
    if first is None or first.value is None:
        return
    yield Finding(
        rule="length-refused",
        check="window",
        status="attention" if case.demands.streaming else "info",
        statement=f"The model takes {first.value - 1:,.0f} tokens and no more: "
        f"{first.value:,.0f} are refused.",
        consequence="Longer inputs have to be cut, and what is cut off is lost.",
        metric="refused_length",
        evidence=first,
        threshold="the model runs on this length",
        source="theory",
        reference="",
        remedy="Read longer inputs in windows, or extend the table of positions and train on.",
        falsified_by="A run of this length.",
    )


def _trained(case: Case) -> str:
    length = case.metric("window.trained_length")
    if length is None or length.value is None:
        return "the length of the analysis"
    return f"the trained length of {length.value:,.0f} tokens"


RULES = (harmful_beyond, reads_on, refuses)
