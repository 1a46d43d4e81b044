"""What heads do in one run, call of attention by call, as evidence: one row per sequence."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from seqprobe.contracts import AttentionCall, Evidence
from seqprobe.estimators.attention_statistics import HeadStatistics, head_statistics, spread_rows


@dataclass
class HeadRows:
    """Statistics of some `queries` of every head (all, if None); `read` is shown every call.

    `edges`: where bins of distance begin.
    """

    batch: int
    queries: int | None
    edges: Tensor
    sites: list[str] = field(default_factory=list)
    _found: list[tuple[HeadStatistics, float]] = field(default_factory=list)

    def read(self, call: AttentionCall) -> None:
        """Take what is needed of a call; nothing of its weights is kept."""
        device = call.norms.device
        rows = spread_rows(call.time, self.queries).to(device)
        found = head_statistics(call.rows, rows, call.norms, self.edges.to(device))
        self.sites.append(call.site)
        self._found.append((found, call.difference))

    def without(self, sites: Mapping[str, str]) -> "HeadRows":
        """The same, but for what was read of these modules."""
        kept = [(site, each) for site, each in zip(self.sites, self._found, strict=True)
                if site not in sites]  # fmt: skip
        return HeadRows(
            self.batch, self.queries, self.edges, [s for s, _ in kept], [e for _, e in kept]
        )

    def evidence(self, time: int, refused: Mapping[str, str]) -> Evidence:
        """Heads of all layers side by side, and why some of them are missing."""
        why = np.full(self.batch, "; ".join(f"{site}: {why}" for site, why in refused.items()))
        if not self._found:
            return {"refused": why}
        calls = [_known(*each) for each in self._found]
        shares = np.stack([found.pop("shares") for found in calls], axis=1)
        layer = np.repeat(np.arange(len(calls)), [found["error"].shape[1] for found in calls])
        return {
            **{name: np.concatenate([found[name] for found in calls], axis=1) for name in calls[0]},
            "shares": shares,
            "time": np.full(self.batch, time),
            "edges": np.tile(self.edges.cpu().numpy(), (self.batch, 1)),
            "layer": np.tile(layer, (self.batch, 1)),
            "sites": np.tile(self.sites, (self.batch, 1)),
            "refused": why,
        }


def _known(statistics: HeadStatistics, difference: float) -> dict[str, np.ndarray]:
    known = {name: part.cpu().numpy() for name, part in statistics._asdict().items()}
    return known | {"difference": np.full_like(known["error"], difference)}


def distance_bins(time: int) -> Tensor:
    """Where bins of distance begin: 0, 1, 2, 4, 8, ..."""
    return torch.tensor([0, *(2**k for k in range(max(time - 1, 0).bit_length()))])
