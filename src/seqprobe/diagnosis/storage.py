"""Rules that hold storage against sensitivity and use, and against what the data tell anyhow."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below
from seqprobe.diagnosis.gradients import STRONG

STORED_SHARE, PART, NOTHING = 0.1, 0.5, 0.02
UNUSED_BITS, USED_BITS = 0.001, 0.01
FULL = 0.5
READABLE_BITS, REMEMBERED_BITS = 0.1, 0.05
LIMITED = 0.95


def trainable_but_not_stored(case: Case) -> Iterator[Finding]:
    """The gradient arrives from there, and yet nothing of it is in the state.

    Only where a state is all that is carried: attention can look the token up again.
    """
    if case.family != "recurrent":
        return
    bits = case.estimate("bottleneck.bits_at_distance")
    there = case.estimate("gradient-decay.at_distance")
    if bits is None or not below(bits, NOTHING) or not above(there, STRONG):
        return
    yield Finding(
        rule="trainable-not-stored",
        check="bottleneck",
        status="attention",
        statement=f"Trainable but not stored: the gradient reaches distance {case.distance}, but "
        f"less than {NOTHING:g} bits about the symbol there can be read from the state.",
        consequence="Data or capacity stop it, not vanishing; or the state keeps that symbol only "
        "in combination with others, as a parity does.",
        metric="bits_at_distance",
        evidence=bits,
        threshold=f"bits below {NOTHING:g}, gradient above {STRONG:g}",
        source="our convention",
        reference="A theory of usable information under computational constraints "
        "(Xu et al., 2020)",
        remedy="Train on data that needs this distance; if it does already, enlarge the state.",
        falsified_by="A stronger decoder, or more sequences, that finds it in the state, alone or "
        "given the other symbols.",
    )  # fmt: skip


def stored_but_unused(case: Case) -> Iterator[Finding]:
    """The state holds it, the prediction does not care."""
    bits, use = case.estimate("bottleneck.bits_at_distance"), case.estimate("position.at_distance")
    if bits is None or bits.ceiling is None or not above(bits, STORED_SHARE * bits.ceiling):
        return
    if use is None or not below(use, UNUSED_BITS):
        return
    yield Finding(
        rule="stored-unused",
        check="bottleneck",
        status="attention",
        statement=f"Stored but unused: the state holds at least {bits.value:.2f} bits about the "
        f"symbol {case.distance} steps back, but replacing that token moves the prediction by only "
        f"{use.value:.1e} bits.",
        consequence="Memory is not what stops this distance: what reads the state passes it over.",
        metric="bits_at_distance",
        evidence=bits,
        threshold=f"bits above {STORED_SHARE:.0%} of the ceiling, use below {UNUSED_BITS} bits",
        source="our convention",
        reference="Sharp nearby, fuzzy far away (Khandelwal et al., 2018)",
        remedy="The memory is there: look at the read-out and at whether training rewards it.",
        falsified_by="Data on which that token does move the prediction.",
    )


def too_small(case: Case) -> Iterator[Finding]:
    """What lies there is wanted, and kept in part; the state is full of what is nearer.

    Wanted is what the prediction uses as far as it is kept. States that learned to keep what they
    need hold about 0.3 bits in each number; those that cannot hold more, 0.7 and above.
    """
    bits, use = case.estimate("bottleneck.bits_at_distance"), case.estimate("position.at_distance")
    held, density = (case.estimate(f"capacity.{m}") for m in ("bits", "bits_per_state_float"))
    if case.family != "recurrent" or bits is None or bits.ceiling is None or held is None:
        return
    wanted = bits.ceiling * (case.distance + 1)
    part = above(use, USED_BITS) and below(bits, PART * bits.ceiling)
    if not part or not below(held, wanted) or density is None or not above(density, FULL):
        return
    yield Finding(
        rule="state-too-small",
        check="capacity",
        status="attention",
        statement=f"The state is too small or undertrained: {held.value:.1f} bits were found in "
        f"it, {density.value:.2f} in each of its numbers, and to keep all symbols up to distance "
        f"{case.distance} takes {wanted:.0f}.",
        consequence=f"The prediction uses what lies {case.distance} steps back, but only "
        f"{bits.value:.2f} of {bits.ceiling:.2f} bits of it are kept.",
        metric="bits",
        evidence=held,
        threshold=f"bits at the distance below {PART:.0%} of the ceiling, use above {USED_BITS:g} "
        f"bits, capacity below {wanted:.0f} bits and above {FULL:g} for each number",
        source="our convention",
        reference="Capacity and trainability in recurrent neural networks (Collins et al., 2017)",
        remedy="Train longer first; if that does not help, enlarge the state, or let attention "
        "look things up.",
        falsified_by="Longer training of the same model, or a stronger read-out, that finds more "
        "bits in the state.",
    )


def readable_not_remembered(case: Case) -> Iterator[Finding]:
    """What can be read of the data is correlation: the nearer tokens tell it anyhow."""
    readable = case.estimate("bottleneck.bits_at_distance_data")
    remembered = case.estimate("bottleneck.conditional_at_distance_data")
    if readable is None or readable.value is None or not above(readable, READABLE_BITS):
        return
    if remembered is None or not below(remembered, REMEMBERED_BITS):
        return
    yield Finding(
        rule="readable-not-remembered",
        check="bottleneck",
        status="info",
        statement=f"On the data {readable.value:.2f} bits about the token {case.distance} steps "
        "back can be read from the state, but nearer tokens tell them anyhow.",
        consequence="No memory is needed for that: it is correlation in the data.",
        metric="conditional_at_distance_data",
        evidence=remembered,
        threshold=f"readable bits above {READABLE_BITS:g}, of which only a memory can add less "
        f"than {REMEMBERED_BITS:g}",
        source="our convention",
        reference="Conditional probing: measuring usable information beyond a baseline "
        "(Hewitt et al., 2021)",
        remedy="Take the bits that only a memory adds, or those on independent symbols, for "
        "storage; data whose distant tokens cannot be guessed from nearer ones ask for more of it.",
        falsified_by="More sequences on which the state adds bits to what nearer tokens tell.",
    )


def capacity_limited_by_read_out(case: Case) -> Iterator[Finding]:
    """Fewer sequences recall clearly less, so that more of them would recall more."""
    bits = case.estimate("capacity.bits")
    half = case.estimate("capacity.at_half_the_sequences")
    if bits is None or bits.low is None or bits.value is None:
        return
    if half is None or half.value is None or not below(half, LIMITED * bits.low):
        return
    yield Finding(
        rule="capacity-limited-by-read-out",
        check="capacity",
        status="info",
        statement=f"Half the sequences recall {half.value:.1f} bits from the state, all of them "
        f"{bits.value:.1f}.",
        consequence="The number is a floor, limited by the training of the read-out.",
        metric="at_half_the_sequences",
        evidence=half,
        threshold=f"interval at half the sequences below {LIMITED:.0%} of the lower limit at all",
        source="our convention",
        reference="Capacity and trainability in recurrent neural networks (Collins et al., 2017)",
        remedy="Raise --limit until half the sequences recall as much as all of them.",
        falsified_by="Twice as many sequences that recall no more bits.",
    )


RULES = (
    trainable_but_not_stored,
    stored_but_unused,
    too_small,
    readable_not_remembered,
    capacity_limited_by_read_out,
)
