"""Reference checkpoints that come with the package, each with a card."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any


def checkpoints() -> list[tuple[Path, dict[str, Any]]]:
    """Path and card of every bundled checkpoint, by name."""
    folder = Path(str(files("seqprobe_data") / "checkpoints"))
    return [
        (card.with_suffix(".pt"), json.loads(card.read_text()))
        for card in sorted(folder.glob("*.json"))
    ]
