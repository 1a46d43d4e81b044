"""The page, from what is kept alone."""

from collections.abc import Iterable, Iterator, Mapping

from claims import costs_page, small_data, trained, verdicts
from claims.curves import Costs, costs_of
from claims.kept import Book, Part
from claims.small_data import Learned
from claims.tables import header, said
from claims.trained import METRICS, Trained

COMMAND = "python benchmarks/paradigm.py"


def page(book: Book, picture: str) -> str:
    """Claims first, then every number behind them."""
    costs, models = list(costs_of(book.parts)), trained.trained_of(book.parts)
    learned = small_data.learned(book.parts)
    return "\n".join(
        [
            "# The claims of the paradigm, measured\n",
            f"Made by the commands below and `{COMMAND} page`. {_pending(book)}\n",
            *_runs(book),
            "## Claims\n",
            *_claims(costs, models, learned),
            f"![Seconds over length]({picture})\n" if costs else "",
            *(line for each in costs for line in costs_page.section(each)),
            *_trained(models),
            *_small_data(learned, book.parts),
        ]
    )


def _pending(book: Book) -> str:
    """What is still to be taken."""
    if any("CUDA" in run["hardware"] for run in book.runs):
        return "Measured on a GPU."
    return (
        f"**The numbers of a GPU are still to be taken: `{COMMAND} --device cuda -o "
        "docs/paradigm-gpu.json` where there is one.** What follows was measured on a CPU, at "
        "small size."
    )


def _runs(book: Book) -> Iterator[str]:
    """Machines and commands, what each measured, and when."""
    for number, run in enumerate(book.runs):
        mine = {name: part for name, part in book.parts.items() if part["run"] == number}
        if not mine:
            continue
        about = "; ".join(f"{name} {value}" for name, value in run.items() if name != "command")
        dates = sorted(part["date"] for part in mine.values())
        parts = dict.fromkeys(name.rpartition(": ")[0] for name in mine)
        yield f"- `{run['command']}`, {dates[0]} to {dates[-1]}: {about}. {'; '.join(parts)}."
    yield ""


def _claims(costs: list[Costs], models: list[Trained], learned: Learned | None) -> Iterator[str]:
    """The rules stood before the measurement; borders lie halfway between two laws of growth."""
    yield (
        "Each rule was written before the measurement, and is held against the whole 95 % "
        "interval. Borders of exponents lie halfway between two laws."
    )
    for each in costs:
        yield f"\n### {each.title}\n"
        yield from _verdicts(verdicts.of_costs(each))
    if models:
        yield "\n### Trained models\n"
        yield from _verdicts(verdicts.of_trained(models))
    if learned:
        yield "\n### Little data\n"
        yield from _verdicts([verdicts.of_small_data(learned)])


def _verdicts(claims: Iterable[verdicts.Claim]) -> Iterator[str]:
    yield from header("claim", "holds if", "measured", "verdict")
    for claim in claims:
        found = "; ".join(f"{each.subject} {said(each.found)}" for each in claim.tested)
        yield f"| {claim.words} | {claim.rule} | {found} | **{claim.verdict}** |"
    yield ""


def _trained(models: list[Trained]) -> Iterator[str]:
    if not models:
        return
    yield "\n## Trained models: gradient, storage and use over distance\n"
    yield (
        "Measured by `seqprobe.analyze` on the text of the standard library, at the length of "
        "their training, which bounds every distance; 95 % intervals over sequences.\n"
    )
    yield from header("", *(each.name for each in models))
    facts = {
        "parameters": [f"{each.card['parameters']:,}" for each in models],
        "tokens of training": [f"{each.card['tokens']:,}" for each in models],
        "held-out bits": [f"{each.card['held_out_bits']:.3f}" for each in models],
        "length": [f"{each.length:,}" for each in models],
    }
    for name, row in facts.items():
        yield f"| {name} | {' | '.join(row)} |"
    for metric in METRICS:
        row = [said(each.metrics[metric]) for each in models]
        yield f"| `{metric}` | {' | '.join(row)} |"


def _small_data(found: Learned | None, parts: Mapping[str, Part]) -> Iterator[str]:
    if found is None:
        return
    part = next(part for name, part in parts.items() if name.startswith(small_data.NAME))
    recipe = part["card"]["recipe"]
    yield "\n## Little data\n"
    yield (
        f"{recipe['parameters']:,} parameters, {recipe['steps']:,} steps of {recipe['batch']} x "
        f"{recipe['context']} bytes, on pieces of the text that were drawn once, smaller shares "
        "within larger ones; held-out bits at the best of twenty steps, means with 95 % intervals "
        "over seeds.\n"
    )
    kinds = sorted({kind for kind, _ in found.bits}, key=small_data.KINDS.index)
    yield from header("share", "read so often", *kinds, "least")
    for share in found.shares:
        means = {kind: found.mean(kind, share) for kind in kinds}
        least = min(kinds, key=lambda kind: means[kind].value or 0.0)
        row = " | ".join(said(means[kind]) for kind in kinds)
        yield f"| {share:.0%} | {found.times_read[share]:.3g} | {row} | {least} |"
    yield "\nLead over attention, bits:\n"
    others = [kind for kind in kinds if kind != "attention"]
    yield from header("share", *others)
    for share in found.shares:
        yield f"| {share:.0%} | {' | '.join(said(found.gain(k, share)) for k in others)} |"
