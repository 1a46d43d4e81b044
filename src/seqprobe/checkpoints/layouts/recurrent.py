"""Any model of stacked PyTorch recurrences, recognised by widths; names only decide ties."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seqprobe.checkpoints.contents import Contents, unwrapped
from seqprobe.checkpoints.layouts.chain import Chain, readings
from seqprobe.checkpoints.layouts.cover import covering
from seqprobe.checkpoints.layouts.hyperparameters import settled
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.layouts.matrices import Matrix, matrices, repeated
from seqprobe.checkpoints.layouts.recurrences import Recurrence, recurrences
from seqprobe.checkpoints.layouts.without_parameters import open_questions, trained_length

TEMPLATE = "seqprobe.checkpoints.templates.recurrent:RecurrentModel"
DO = "Say what builds the model: --model pkg.module:factory [--set name=value]."
_LOSS = re.compile(r"(.+\.)?(criterion|loss|loss_fn|loss_function)\..+")
_ATTENTION = re.compile(r"(.+[._])?att(n|ention)?([._0-9].*)?", re.IGNORECASE)
_CELL = re.compile(r"(.+\.)?weight_hh")


def recognise(contents: Contents) -> Layout | Named | None:
    """Embedding or features, recurrent layers one after the other, and a head of linear layers.

    A file with recurrent layers that has more to it is only named; one without is not known.
    """
    weights = contents.plain
    layers, spare = recurrences(weights)
    if not layers:
        cells = [name for name in weights if _CELL.fullmatch(name)]
        return Named("recurrent cells", f"how {_listed(cells)} step", DO) if cells else None
    spare |= {each for each in weights if _LOSS.fullmatch(each) and len(weights[each].shape) < 2}
    used = spare.union(*(layer.names.values() for layer in layers))
    rest = [name for name in weights if name not in used]
    found, strange = matrices(weights, rest)
    spare |= repeated(found)
    name = f"{'/'.join(dict.fromkeys(layer.kind.upper() for layer in layers))} model"
    if missing := _unclear(layers, rest):
        return Named(name, missing, DO)
    chains = readings(weights, tuple(sorted(layers, key=_number)), rest)
    if len(chains) == 1:
        return _layout(contents, name, chains[0], spare)
    if chains:
        paths = list(dict.fromkeys(each.rpartition(".")[0] for each in rest))
        return Named(name, f"in which order {_listed(paths)} follow each other", DO)
    unused = _listed(strange or rest)
    return Named(name, f"the use of {unused}" if unused else "what gives its outputs", DO)


def language_model(contents: Contents) -> Layout | None:
    """One of these models, if it has an output for each of its tokens."""
    found = recognise(contents)
    if not isinstance(found, Layout) or found.settings["head"][-1][1] != found.vocab_size:
        return None
    return found


def knowing(layout: Layout, **values: Any) -> Layout:
    """The layout of a known model: what would have been asked is stated."""
    asked = {unknown.name for unknown in layout.unknowns}
    stated = {name: value for name, value in values.items() if name in asked}
    left = tuple(unknown for unknown in layout.unknowns if unknown.name not in values)
    return replace(layout, stated={**layout.stated, **stated}, unknowns=left)


def _unclear(layers: Sequence[Recurrence], rest: Sequence[str]) -> str | None:
    """What widths alone would take for one layer after the other."""
    if len({re.sub(r"[0-9]", "", layer.path) for layer in layers}) > 1:
        return f"how {_listed([layer.path for layer in layers])} work together"
    if attending := [name for name in rest if _ATTENTION.fullmatch(name)]:
        return f"how {_listed(attending)} attend"
    losses = [name for name in rest if _LOSS.fullmatch(name)]
    return f"the use of {_listed(losses)}" if losses else None


def _number(layer: Recurrence) -> list[int]:
    """Layers in modules of their own come in the order of their numbers, not of their names."""
    return [int(digits) for digits in re.findall(r"[0-9]{1,9}", layer.path)]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _layout(contents: Contents, name: str, chain: Chain, spare: frozenset[str]) -> Layout | None:
    places = _places(chain)
    in_file = unwrapped(contents.weights)
    stated, unknowns = settled(open_questions(contents, chain))
    layout = Layout(
        name=name.replace("model", "language model") if chain.predicts_tokens else name,
        template=TEMPLATE,
        settings=_settings(chain),
        stated=stated,
        unknowns=unknowns,
        names={in_file[name]: place for name, place in places.items()},
        ignored=frozenset(in_file[name] for name in spare - places.keys()),
        features=None if chain.embedding else chain.inputs,
        vocab_size=chain.embedding.outputs if chain.embedding else None,
        predicts_tokens=chain.predicts_tokens,
        trained_length=trained_length(contents),
    )
    return covering(layout, contents)


def _settings(chain: Chain) -> dict[str, Any]:
    return {
        "recurrences": tuple(layer.settings for layer in chain.recurrences),
        "head": tuple(_linear(each) for each in chain.head),
        "embedding": (chain.embedding.outputs, chain.embedding.inputs) if chain.embedding else None,
        "projection": _linear(chain.projection[0]) if chain.projection else None,
        "tied": chain.tied,
    }


def _linear(layer: Matrix) -> tuple[int, int, bool]:
    return layer.inputs, layer.outputs, layer.bias is not None


def _places(chain: Chain) -> dict[str, str]:
    """From the names of tensors to those of the template."""
    places = chain.embedding.names("embedding") if chain.embedding else {}
    for layer in chain.projection:
        places |= layer.names("projection")
    for number, recurrence in enumerate(chain.recurrences):
        places |= {name: f"recurrences.{number}.{own}" for own, name in recurrence.names.items()}
    for number, layer in enumerate(chain.head):
        places |= layer.names(f"head.{number}")
    return places
