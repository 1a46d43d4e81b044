"""Rules about what the past is worth: how much of it, in which order, and to be looked up."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below
from seqprobe.estimators.enough import ALLOWED, MORE

UNUSED_SHARE, COPIED_SHARE, MOSTLY_COPIED = 0.25, 0.05, 0.5
KHANDELWAL = "Sharp nearby, fuzzy far away (Khandelwal et al., 2018)"


def context_unused(case: Case) -> Iterator[Finding]:
    """Some of the past is worth bits, most of it none; the distance asked about is among that."""
    needed, share = (
        case.estimate("context.effective_length"),
        case.estimate("context.share_of_length"),
    )
    worth = case.estimate("context.bits_from_context")
    if case.real or needed is None or share is None or not above(worth, 0.0):
        return
    asked, mostly = below(needed, case.distance), below(share, UNUSED_SHARE)
    if not (asked or mostly):
        return
    beyond = f", and distance {case.distance} lies beyond them" if asked else ""
    yield Finding(
        rule="context-unused",
        check="context",
        status="attention" if asked else "info",
        statement=f"Paid for but unused: the last {needed.value:.0f} tokens predict like the whole "
        f"past, to {MORE:.0%} of perplexity{beyond}.",
        consequence="All that came before them costs memory and time, and is worth nothing on "
        "this data.",
        metric="effective_length" if asked else "share_of_length",
        evidence=needed if asked else share,
        threshold=f"interval below {case.distance} tokens, the distance asked about"
        if asked
        else f"interval below {UNUSED_SHARE:.0%} of the length",
        source="our convention",
        reference=KHANDELWAL,
        remedy="Feed shorter sequences, or train on data with longer dependencies.",
        falsified_by=f"Data on which more tokens lower the perplexity by over {MORE:.0%}.",
    )


def only_together(case: Case) -> Iterator[Finding]:
    """No single token from there matters; all of them together do."""
    use, lost = case.estimate("position.horizon"), case.estimate("context.loss_at_distance")
    if lost is None or not below(use, case.distance) or not above(lost, ALLOWED):
        return
    yield Finding(
        rule="used-together",
        check="context",
        status="info",
        statement=f"No single token {case.distance} steps back moves the prediction by 0.01 bits, "
        f"but all that lie there or further back are together worth {lost.value:.2g} bits.",
        consequence="The distance is used after all, for topic or style rather than for single "
        "tokens.",
        metric="loss_at_distance",
        evidence=lost,
        threshold=f"horizon of single tokens below {case.distance} steps, loss above "
        f"{ALLOWED:.3f} bits ({MORE:.0%} of perplexity)",
        source="our convention",
        reference=KHANDELWAL,
        remedy="Judge the use of distant context by what all of it is worth.",
        falsified_by="More sequences on which dropping them costs less.",
    )


def copies(case: Case) -> Iterator[Finding]:
    """What was read can be looked up, or the path is there and nothing is."""
    gained = case.estimate("context.copied_at_distance")
    if gained is None or gained.ceiling is None:
        return
    level, mostly = COPIED_SHARE * gained.ceiling, above(gained, MOSTLY_COPIED * gained.ceiling)
    if above(gained, level):
        yield Finding(
            rule="copies",
            check="context",
            status="fine" if mostly else "info",
            statement=f"Random tokens are {'' if mostly else 'in part '}looked up {case.distance} "
            f"steps back: they cost {gained.value:.2g} of {gained.ceiling:.2g} bits less when they "
            "come again.",
            consequence="Exact recall over this distance works."
            if mostly
            else "Exact recall over this distance works now and then.",
            metric="copied_at_distance",
            evidence=gained,
            threshold=f"interval above {COPIED_SHARE:.0%} of the loss without a copy",
            source="our convention",
            reference="In-context learning and induction heads (Olsson et al., 2022)",
            remedy="Nothing to change in the retrieval of single tokens."
            if mostly
            else "If exact recall is needed: longer training, attention, or a larger state.",
            falsified_by="Other random tokens that gain nothing.",
        )
    elif above(case.reach, case.distance - 1) and below(gained, level):
        yield Finding(
            rule="reachable-not-copied",
            check="context",
            status="info",
            statement=f"What lies {case.distance} steps back can reach the output, but random "
            f"tokens from there cost only {gained.value:.2g} of {gained.ceiling:.2g} bits less "
            "when they come again.",
            consequence="They are not looked up: exact recall over this distance does not work.",
            metric="copied_at_distance",
            evidence=gained,
            threshold=f"reach of {case.distance} steps, gain below {COPIED_SHARE:.0%} of the loss "
            "without a copy",
            source="our convention",
            reference="Repeat after me: transformers are better than state space models at "
            "copying (Jelassi et al., 2024)",
            remedy="If exact recall is needed: attention, or training on data that repeat.",
            falsified_by="Tokens like those of the training data that are looked up.",
        )  # fmt: skip


def order_not_shown(case: Case) -> Iterator[Finding]:
    """Shuffled text costs more than no text at all."""
    excess = case.estimate("order.shuffle_excess")
    if excess is None or not above(excess, 0.0):
        return
    yield Finding(
        rule="order-claim-invalid",
        check="order",
        status="info",
        statement="Shuffling all that comes before the present token costs "
        f"{excess.value:.2g} bits more than dropping it.",
        consequence="Shuffled text disturbs the model, so that what it costs does not show how "
        "much order is worth.",
        metric="shuffle_excess",
        evidence=excess,
        threshold="interval above 0 bits",
        source="our convention",
        reference=KHANDELWAL,
        remedy="Take what dropping costs for what the past is worth.",
        falsified_by="Data on which shuffling costs less than dropping.",
    )


def order_unused(case: Case) -> Iterator[Finding]:
    """Tokens are used there as a bag."""
    beyond = case.estimate("order.order_unused_beyond")
    if beyond is None or beyond.value is None:
        return
    yield Finding(
        rule="order-unused",
        check="order",
        status="info",
        statement=f"Beyond the last {beyond.value:.0f} tokens, shuffling the past costs less than "
        "a tenth of what dropping it does.",
        consequence="What lies there is used as a bag: what is in it counts, not its order.",
        metric="order_unused_beyond",
        evidence=beyond,
        threshold=f"shuffling below {MORE:.0%} of perplexity, and its interval below 10% of "
        "dropping",
        source="our convention",
        reference=KHANDELWAL,
        remedy="If order matters to the task: positions, more layers, or a recurrence.",
        falsified_by="Data on which shuffling there costs more.",
    )


RULES = (context_unused, only_together, copies, order_not_shown, order_unused)
