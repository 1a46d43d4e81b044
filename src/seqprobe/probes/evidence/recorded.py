"""States and what was read, kept as rows of evidence, and put together again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from seqprobe.contracts import Evidence, Observation
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES

ALL, AHEAD = "all states", "ahead "
MOST = 2**26
"""Numbers to keep of the states of all sequences."""


def recorded(observation: Observation, sequences: int) -> Evidence:
    """The inputs, and the states in the second half: as many last steps as can be kept.

    Hidden and cell state of a layer are kept apart. `sequences` will come in all.
    """
    if not observation.states:
        raise NotApplicable("no state was recognised in the model; name some with sites=[...]")
    parts = dict(_parts(observation))
    width = sum(state.shape[2] for state in parts.values())
    steps = min(observation.inputs.shape[1] // 2, max(8, MOST // (sequences * width)))
    kept = {
        f"state {name}": state[:, -steps:].detach().float().cpu().numpy()
        for name, state in parts.items()
    }
    names = np.tile(np.array(list(parts)), (len(observation.sequences), 1))
    return {"read": observation.inputs.cpu().numpy(), "parts": names, **kept}


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
    """What was read, and the states of every part in the last steps."""

    read: Shaped[Tensor, "sequences time ..."]
    parts: dict[str, Float[Tensor, "sequences steps _"]]

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
        return cls(torch.from_numpy(evidence["read"]), parts)

    @property
    def together(self) -> Float[Tensor, "sequences steps _"]:
        """All that is carried."""
        return torch.cat(list(self.parts.values()), dim=-1)

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

    def lagged(
        self, labels: Shaped[Tensor, "sequences time ..."]
    ) -> Shaped[Tensor, "sequences steps lags ..."]:
        """The label k steps back, for every lag that all the steps have."""
        time, steps = labels.shape[1], next(iter(self.parts.values())).shape[1]
        lags = torch.arange(time // 2 + 1)
        return labels[:, torch.arange(time - steps, time)[:, None] - lags]
