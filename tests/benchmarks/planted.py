"""What a run would keep if everything were as in the textbook."""

from claims.costs import ROUNDS, SENTENCE, WAYS, Point
from claims.models import KINDS

LENGTHS = [64 << doubling for doubling in range(6)]
RUN = {"hardware": "a CPU", "command": "python benchmarks/paradigm.py"}


def costs(seconds, name="costs: planted", run=0):
    """Parts of one setting; `seconds` of (kind, way, n)."""
    points = [Point(k, way, n) for k in KINDS for way in WAYS for n in LENGTHS]
    points += [Point(k, "forward", n) for k in KINDS for n in SENTENCE]
    turn = {str(point): seconds(*point) for point in points}
    attends = {kind: kind == "attention" for kind in KINDS}
    fits = {
        "setting": {"lengths": LENGTHS, "batch": 2, "precision": "float32", "patience": 1},
        "shapes": {kind: {"width": 8, "parameters": 1000, "positions": 0} for kind in KINDS},
        "points": [list(point) for point in points],
        "left_out": {"rnn/training": "out of memory"},
        "bytes": {
            f"{kind}/{n}": {
                "saved": n**2 if attends[kind] else n,
                "peak": None,
                "carried": n if attends[kind] else 7,
            }
            for kind in KINDS
            for n in LENGTHS
        },
        "work": {kind: {"flops": [100.0 * n for n in LENGTHS], "touched": None} for kind in KINDS},
        "ceilings": [1e6, 1e6],
    }
    about = {"run": run, "date": "2000-01-01"}
    rounds = {f"{name}: round {i}": {"seconds": turn, **about} for i in range(ROUNDS)}
    return {f"{name}: what fits": {**fits, **about}, **rounds}


def textbook(kind, way, n):
    """Recurrences step by step; attention looks at all others; a scan at once."""
    if way == "decoding":
        return 1e-3 * n if kind == "attention" else 1e-3
    return {"attention": 5e-7 * n**2, "mingru": 2e-4 * n}.get(kind, 1e-3 * n)


def small_data(lead, seeds=(0, 1, 2), drop=None):
    """Held-out bits of every training; `lead` over attention by share."""
    return {
        f"small data: {kind}/{share}/{seed}": {
            "kind": kind,
            "share": share,
            "times_read": 1 / share,
            "card": {
                "best_held_out_bits": 3.0 + 0.01 * seed - (kind != "attention") * ahead,
                "recipe": {"seed": seed, "parameters": 1, "steps": 2, "batch": 3, "context": 4},
            },
            "run": 0,
            "date": "2000-01-02",
        }
        for kind in ("rnn", "lstm", "gru", "attention")
        for share, ahead in lead.items()
        for seed in seeds
        if (kind, share, seed) != drop
    }
