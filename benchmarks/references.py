"""Reference checkpoints with long context: twelve trainings, and a table of what was learned.

    python benchmarks/references.py [--device auto] [--only WORD] [-o FOLDER] [--small]

LSTM, GRU, RNN and attention on text (1,024 bytes), recall and copy (up to 1,024 steps), recipes in
`reference/long_context.py`. What is finished in the folder is not trained again, and what was cut
short goes on: repeat the command until it prints the table. `--only` takes those with a word in
their name. `--small` is the same in a small size, for two cores of a CPU and some minutes.

To be expected of one H200, by these rules and not yet measured: a recurrence of two layers takes
about 2 x 37 us for each step in time, forward and backward, whatever the batch (launches, not
arithmetic): 61 s for each recall and each text, 91 s for each copy. Attention is bound by
arithmetic: 6 FLOPs for each parameter and token, and 12 x width x length / 2 for each layer and
token, at 100 TFLOP/s: below 20 s each. That is twelve minutes for all twelve.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from seqprobe.models.device import device_named
from seqprobe.reference.long_context import LONG, SMALL, recipes
from seqprobe.reference.recipe import Recipe
from seqprobe.reference.training import train

TOLD = 10.0
COLUMNS = (
    "kind", "trained on", "parameters", "tokens", "held-out bits", "least, at step",
    "byte trigram", "right by distance", "seconds", "hardware",
)  # fmt: skip


def cards(wanted: Mapping[str, Recipe], folder: Path, device: torch.device) -> list[dict[str, Any]]:
    """Train what is not there yet; the cards of all."""
    return [
        finished(recipe, folder / f"{name}.pt") or train_told(recipe, folder / f"{name}.pt", device)
        for name, recipe in wanted.items()
    ]


def finished(recipe: Recipe, output: Path) -> dict[str, Any] | None:
    """The card of a checkpoint that was trained by this recipe; None where there is none."""
    card = output.with_suffix(".json")
    if not (output.exists() and card.exists()):
        return None
    read: dict[str, Any] = json.loads(card.read_text())
    return read if Recipe(**read["recipe"]) == recipe else None


def train_told(recipe: Recipe, output: Path, device: torch.device) -> dict[str, Any]:
    """Train one of them, and tell how it goes."""
    say(f"{output.stem}: begins")
    card = train(recipe, output, device, every_few_seconds(output.stem, recipe.steps))
    say(f"{output.stem}: held out {card['held_out_bits']} bits, {card['seconds']} s")
    return card


def every_few_seconds(name: str, steps: int) -> Callable[[int, float], None]:
    """Tells the step and the loss now and then."""
    told = [time.monotonic()]

    def progress(step: int, bits: float) -> None:
        if time.monotonic() - told[0] >= TOLD:
            told[0] = time.monotonic()
            say(f"{name}: step {step} of {steps}, {bits:.3f} bits")

    return progress


def say(words: str) -> None:
    """On standard error."""
    print(words, file=sys.stderr, flush=True)


def row(card: Mapping[str, Any]) -> str:
    """One line of the table."""
    recipe, far = card["recipe"], card.get("held_out_by_distance", {})
    spans = {"stdlib": f"text, {card['architecture']['context']} bytes"}
    cells = (
        recipe["kind"],
        spans.get(recipe["data"], f"{recipe['data']}, up to {recipe['distance']} steps"),
        f"{card['parameters']:,}",
        f"{card['tokens']:,}",
        f"{card['held_out_bits']:.3f}",
        f"{card['best_held_out_bits']:.3f}, {card['best_step']:,}",
        f"{card['trigram_bits']:.3f}" if "trigram_bits" in card else "",
        ", ".join(f"{k}: {found['accuracy']:.0%}" for k, found in far.items()),
        str(card["seconds"]),
        f"{card['hardware']}, torch {card['torch']}, {card['precision']}, {card['date']}",
    )
    return f"| {' | '.join(cells)} |"


def main(words: list[str] | None = None) -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("-o", dest="folder", type=Path, default=Path("references"))
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args(words)
    named = recipes(SMALL if asked.small else LONG)
    wanted = {name: recipe for name, recipe in named.items() if asked.only in name}
    found = cards(wanted, asked.folder, device_named(asked.device))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for card in found:
        print(row(card))


if __name__ == "__main__":
    main()
