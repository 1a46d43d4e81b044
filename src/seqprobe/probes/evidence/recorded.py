"""States and what was read, kept as rows of evidence, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from seqprobe.contracts import Evidence, Observation
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES
from seqprobe.estimators.spaced import spaced

ALL, AHEAD = "all states", "ahead "
MOST, STEPS = 2**26, 128
"""Numbers to keep of the states of all sequences, and steps of each of them."""
NEAR, PER_OCTAVE = 128, 8
"""Distances all of which are decoded, and how many of each doubling beyond."""
WIDE, WIDEST = 1024, 2048
"""Random directions that stand for a state of a large model, and the widest of all together.

What can be read from a projection can be read from the state: lower bounds stay lower bounds.
"""


def recorded(observation: Observation, sequences: int) -> Evidence:
    """The inputs, and states in the second half: the last steps, as many as can be kept.

    Hidden and cell state of a layer are kept apart. `sequences` will come in all. Where they would
    not fit, wide states are seen through random directions.
    """
    if not observation.states:
        raise NotApplicable("no state was recognised in the model; name some with sites=[...]")
    parts, half = dict(_parts(observation)), min(observation.inputs.shape[1] // 2, STEPS)
    widths = [state.shape[2] for state in parts.values()]
    most = WIDE if sequences * half * sum(widths) > MOST else max(widths)
    steps = min(half, max(8, MOST // (sequences * sum(min(width, most) for width in widths))))
    kept = {
        f"state {name}": narrowed(state[:, -steps:].detach().float(), most).cpu().numpy()
        for name, state in parts.items()
    }
    rows = len(observation.sequences)
    return {
        "read": observation.inputs.cpu().numpy(),
        "parts": np.tile(np.array(list(parts)), (rows, 1)),
        "widths": np.tile(widths, (rows, 1)),
        **kept,
    }


def narrowed(
    states: Float[Tensor, "sequences steps _"], most: int
) -> Float[Tensor, "sequences steps _"]:
    """As they are, or in `most` random directions, always the same ones."""
    width = states.shape[2]
    return states if width <= most else states @ _directions(width, most).to(states)


@lru_cache(8)
def _directions(width: int, count: int) -> Float[Tensor, "width count"]:
    generator = torch.Generator().manual_seed(width)
    drawn: Tensor = torch.randn(width, count, generator=generator) / width**0.5
    return drawn


def turned(observation: Observation, sequences: int) -> Evidence:
    """What `recorded` gives of the sequences read from their ends: ahead lies behind.

    Nothing of models that do not look ahead.
    """
    if observation.causal:
        return {}
    states = {site: state.flip(1) for site, state in observation.states.items()}
    around = replace(observation, inputs=observation.inputs.flip(1), states=states)
    return {f"{AHEAD}{name}": rows for name, rows in recorded(around, sequences).items()}


def ahead(evidence: Evidence) -> Evidence:
    """The part of the evidence that `turned` gave."""
    return {
        name.removeprefix(AHEAD): rows for name, rows in evidence.items() if name.startswith(AHEAD)
    }


def _parts(observation: Observation) -> list[tuple[str, Float[Tensor, "batch time _"]]]:
    parts = []
    for site, state in observation.states.items():
        layer = observation.layers.get(site)
        if layer is not None and layer.hidden < state.shape[2]:
            parts.append((f"{site} h", state[..., : layer.hidden]))
            parts.append((f"{site} c", state[..., layer.hidden :]))
        else:
            parts.append((site, state))
    return parts


@dataclass(frozen=True)
class Recorded:
    """What was read, the states of every part in the last steps, and how wide the parts are."""

    read: Shaped[Tensor, "sequences time ..."]
    parts: dict[str, Float[Tensor, "sequences steps _"]]
    widths: dict[str, int]

    @classmethod
    def of(cls, evidence: Evidence) -> Recorded:
        """From the rows that `recorded` gave."""
        if len(evidence["read"]) < FEWEST_SEQUENCES:
            raise NotApplicable(
                "too few sequences to hold any out",
                got=str(len(evidence["read"])),
                expected=f"at least {FEWEST_SEQUENCES}",
                do="Raise --limit.",
            )
        names = evidence["parts"][0].tolist()
        parts = {name: torch.from_numpy(evidence[f"state {name}"]) for name in names}
        widths = dict(zip(names, evidence["widths"][0].tolist(), strict=True))
        return cls(torch.from_numpy(evidence["read"]), parts, widths)

    @property
    def together(self) -> Float[Tensor, "sequences steps _"]:
        """All that is carried; of very much, a projection."""
        whole = torch.cat(list(self.parts.values()), dim=-1)
        return whole if whole.shape[2] <= WIDEST else narrowed(whole, WIDE)

    @property
    def sites(self) -> dict[str, Float[Tensor, "sequences steps _"]]:
        """All states together, then each layer, hidden and cell state together and apart."""
        layers: dict[str, list[str]] = {}
        for part in self.parts:
            layers.setdefault(part.removesuffix(" h").removesuffix(" c"), []).append(part)
        sites = {ALL: self.together} if len(layers) > 1 else {}
        for layer, parts in layers.items():
            sites[layer] = torch.cat([self.parts[part] for part in parts], dim=-1)
            sites |= {part: self.parts[part] for part in parts if len(parts) > 1}
        return sites

    def width(self, site: str) -> int:
        """Numbers in the state itself."""
        own = [w for part, w in self.widths.items() if part in (site, f"{site} h", f"{site} c")]
        return sum(own or self.widths.values())

    @property
    def furthest(self) -> int:
        """The largest distance that all the steps have."""
        return self.read.shape[1] // 2

    def lags(self, distance: int) -> list[int]:
        """All that are near, some of those that are far, and the distance that is asked for."""
        return spaced(self.furthest, dense=NEAR, per_octave=PER_OCTAVE, also=[distance])

    def lagged(
        self, labels: Shaped[Tensor, "sequences time ..."], lags: Sequence[int] | None = None
    ) -> Shaped[Tensor, "sequences steps lags ..."]:
        """The label k steps back, for some lags, or every one."""
        time, steps = labels.shape[1], next(iter(self.parts.values())).shape[1]
        back = torch.arange(self.furthest + 1) if lags is None else torch.tensor(lags)
        return labels[:, torch.arange(time - steps, time)[:, None] - back]
