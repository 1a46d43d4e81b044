"""What the page says of seconds and bytes over length."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from claims.costs import WAYS
from claims.curves import Costs, Curve, crossover, utilisation
from claims.tables import header, said, size
from claims.verdicts import grown, kept
from seqprobe_reports import numbers


def section(costs: Costs) -> Iterator[str]:
    """Models, seconds, bytes, growth, crossovers and utilisation of one setting."""
    setting = costs.fits["setting"]
    yield f"\n## Costs: {costs.title}\n"
    yield (
        f"{len(costs.rounds)} rounds of all points in shuffled order; medians with 95 % intervals "
        f"from rounds drawn again. Left out is what takes longer than {setting['patience']:g} s. "
        "Decoding is one more token after n others: recurrences carry their state, attention "
        "asks the cached keys and values of n tokens. minGRU runs as a parallel scan whose work "
        "grows as n log n. Attention's table of positions comes on top of its parameters.\n"
    )
    yield from header("kind", "width", "parameters", "positions apart")
    for kind, shape in costs.fits["shapes"].items():
        yield f"| {kind} | {shape['width']} | {shape['parameters']:,} | {shape['positions']:,} |"
    for way in WAYS:
        yield f"\n### {way.capitalize()}, milliseconds\n"
        yield from _milliseconds(costs, way)
    left = costs.fits["left_out"]
    yield from (f"\n{what}: left out from there on, because {why}." for what, why in left.items())
    yield "\n### Bytes\n"
    yield from _bytes(costs)
    yield "\n### Growth: exponents over the upper half of the lengths\n"
    yield from _growth(costs)
    yield "\n### Crossovers\n"
    yield from _crossovers(costs)
    yield "\n### Utilisation of the device by a forward\n"
    yield from _utilisation(costs)


def _milliseconds(costs: Costs, way: str) -> Iterator[str]:
    curves = {k: c for k in costs.kinds for w in WAYS if w == way and (c := costs.curve(k, w))}
    yield from header("n", *curves)
    cells = {
        kind: dict(zip(curve.lengths.astype(int).tolist(), curve.medians * 1e3, strict=True))
        for kind, curve in curves.items()
    }
    for n in sorted({n for cell in cells.values() for n in cell}):
        row = (numbers.number(cell[n]) if n in cell else "–" for cell in cells.values())
        yield f"| {n:,} | {' | '.join(row)} |"


def _bytes(costs: Costs) -> Iterator[str]:
    names = {"saved": "kept for a backward", "peak": "peak on the GPU", "carried": "carried"}
    yield from header("kind", "", *(f"{n:,}" for n in costs.fits["setting"]["lengths"]))
    for kind in costs.kinds:
        for what, words in names.items():
            counted = costs.bytes(kind, what)
            if counted is None:
                continue
            at = dict(zip(counted[0].astype(int).tolist(), counted[1], strict=True))
            lengths = costs.fits["setting"]["lengths"]
            row = (size(at[n]) if n in at else "–" for n in lengths)
            yield f"| {kind} | {words} | {' | '.join(row)} |"


def _growth(costs: Costs) -> Iterator[str]:
    yield (
        "Of the time per token, so that of the whole sequence is one more; in textbooks 0 for "
        "recurrences and scans, 1 for attention. Of bytes of the whole sequence: 1 for a backward, "
        "2 of attention; 0 carried, 1 of attention. Whether that holds stands behind each.\n"
    )
    yield from header("kind", *WAYS, "kept for a backward", "carried")
    for kind in costs.kinds:
        tested = [
            *(grown(costs, kind, way) for way in WAYS),
            *(kept(costs, kind, what) for what in ("saved", "carried")),
        ]
        yield f"| {kind} | {' | '.join(f'{said(t.found)}: {t.verdict}' for t in tested)} |"


def _crossovers(costs: Costs) -> Iterator[str]:
    yield from header("pair", *WAYS)
    for pair in combinations(costs.kinds, 2):
        cells = [_crossed([costs.curve(kind, way) for kind in pair], pair) for way in WAYS]
        yield f"| {', '.join(pair)} | {' | '.join(cells)} |"


def _crossed(curves: Sequence[Curve | None], names: Sequence[str]) -> str:
    first, second = curves
    found = None if first is None or second is None else crossover(first, second)
    if found is None:
        return "–"
    who = names[found.cheaper]
    beyond = f"{found.times:.3g} times at {found.longest:,.0f}"
    if not found.sure:
        return f"cannot be told who is cheaper at {found.longest:,.0f}"
    if found.high == -math.inf:
        return f"none: {who} is cheaper throughout, {beyond}"
    start, low, high = (
        _length(each, found.shortest) for each in (found.start, found.low, found.high)
    )
    return f"{who} from {start} [{low}, {high}] on, {beyond}"


def _length(start: float, shortest: float) -> str:
    return f"{start:,.0f}" if start > -math.inf else f"below {shortest:,.0f}"


def _utilisation(costs: Costs) -> Iterator[str]:
    flops, moved = costs.fits["ceilings"]
    yield (
        f"FLOPs per second of what a large matrix product reaches ({numbers.number(flops)}), and "
        f"bytes that operators touch of what a large copy reaches ({numbers.number(moved)} per "
        "second). Counted operator by operator up to 256 tokens, and further by their law; "
        "fused kernels touch fewer, and caches serve them faster. – where they follow no law.\n"
    )
    lengths = costs.fits["setting"]["lengths"]
    yield from header("kind", "", *(f"{n:,}" for n in lengths))
    for kind in costs.kinds:
        shares = {share.length: share for share in utilisation(costs, kind)}
        for words in ("flops", "bytes"):
            found = [getattr(shares[n], words) if n in shares else None for n in lengths]
            row = ("–" if each is None else f"{each:.2g}" for each in found)
            yield f"| {kind} | {words} | {' | '.join(row)} |"
