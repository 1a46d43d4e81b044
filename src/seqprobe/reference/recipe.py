"""What decides the weights of a reference model, by name and within its limits."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from seqprobe.errors import UsageError
from seqprobe.reference.language_models import KINDS, Kind

LAYERS = {"lstm": 2, "gru": 2, "rnn": 2, "mingru": 2, "minlstm": 2, "attention": 4}
FROM_ZERO = ("seed", "warmup", "shortest")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the trained weights, apart from the hardware.

    `share` is that of the training text which is seen. Of copy and recall, each sequence has
    `distance`, or distances from `shortest` to `distance` where `shortest` is not 0.
    """

    kind: Kind
    data: str = "stdlib"
    share: float = 1.0
    distance: int = 32
    shortest: int = 0
    parameters: int = 1_000_000
    layers: int = 2
    heads: int = 4
    context: int = 256
    batch: int = 16
    steps: int = 2000
    learning_rate: float = 4e-3
    warmup: int = 100
    clip: float = 1.0
    seed: int = 0


def recipe_from(kind: str, settings: Mapping[str, Any]) -> Recipe:
    """A recipe with some of its fields set by name."""
    known = {field.name: field for field in fields(Recipe) if field.name != "kind"}
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"no setting {name!r}",
                expected=f"one of {', '.join(known)}",
                do=f"Did you mean {near[0]!r}?" if near else "",
            )
        if not _possible(name, value, known[name].default):
            raise UsageError(
                f"setting {name!r} has an impossible value",
                got=repr(value),
                expected=f"a value such as {known[name].default!r}",
                do="See `seqprobe train --help`.",
            )
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        raise UsageError(
            f"no reference model {kind!r}",
            expected=f"one of {', '.join(KINDS)}",
            do=f"Did you mean {near[0]!r}?" if near else "",
        )
    return Recipe(**{"kind": kind, "layers": LAYERS[kind], **settings})


def _possible(name: str, value: Any, default: Any) -> bool:
    """Whether a value is of the default's type and in its range."""
    if isinstance(default, str):
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, type(default))):
        return False
    lowest = 0 if name in FROM_ZERO else 1 if isinstance(default, int) else 1e-12
    return bool(lowest <= value < 2**31) and (name != "share" or value <= 1)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine down to a tenth of a percent of the peak."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return recipe.learning_rate * (0.001 + 0.999 * (1 + math.cos(math.pi * done)) / 2)


def command(recipe: Recipe, name: str) -> str:
    """The command that trains it again; only what differs from the defaults is named."""
    defaults = asdict(recipe_from(recipe.kind, {}))
    changed = {k: v for k, v in asdict(recipe).items() if v != defaults[k]}
    options = "".join(f" --set {key}={value}" for key, value in changed.items())
    return f"seqprobe train {recipe.kind}{options} -o {name}"
