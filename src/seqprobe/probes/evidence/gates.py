"""How long the gates of a recurrence keep their state: time constants -1 / ln f on real input.

They say how long a cell would remember if nothing else acted on it. Beside the gradient they tell
whether decay comes from the gates or from what is mixed in.

Can recurrent neural networks warp time? (Tallec and Ollivier, 2018)
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Null, Observation, Series
from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES, number_interval, resampled_means

SATURATED, STRETCHES = 0.01, 8


def observe(observation: Observation, window: int) -> dict[str, np.ndarray]:
    """Per sequence and layer: the share of gates (units and steps) that keep for k steps.

    And, mean over layers, the share near 0 or 1 in each stretch of a sequence.
    """
    gates = {
        name: gate.detach().double().cpu()
        for name, layer in observation.layers.items()
        if (gate := layer.retention) is not None
    }
    if not gates:
        return {}
    return {
        **{f"{name}/gates": _share_keeping(gate, window) for name, gate in gates.items()},
        "saturated": torch.stack([*map(_stretches, gates.values())]).mean(0).numpy(),
    }


def _stretches(gate: Float[Tensor, "time batch hidden"]) -> Float[Tensor, "batch stretches"]:
    """NaN where there are fewer steps than stretches, or a gate is NaN."""
    near = ((gate - 0.5).abs() > 0.5 - SATURATED).to(gate).where(~gate.isnan(), torch.nan)
    return torch.stack([part.mean((0, 2)) for part in near.tensor_split(STRETCHES)], dim=1)


def _share_keeping(
    gates: Float[Tensor, "time batch hidden"], window: int
) -> Float[np.ndarray, "batch distances"]:
    """-1 / ln f >= k where f >= exp(-1 / k)."""
    thresholds = torch.exp(-1 / torch.arange(window + 1, dtype=torch.float64))
    ordered = gates.transpose(0, 1).flatten(1).sort(1).values
    below = torch.searchsorted(ordered, thresholds.expand(len(ordered), -1).contiguous())
    return (1 - below.double() / ordered.shape[1]).numpy()


def metrics(evidence: Evidence, seed: int) -> dict[str, Estimate]:
    """The median time constant over all gates, where the share falls to a half; the stuck ones."""
    shares = [values for name, values in evidence.items() if name.endswith("/gates")]
    if not shares:
        return {}
    rows = np.mean(shares, axis=0)
    value, again = (_median(part) for part in (rows.mean(0)[None], resampled_means(rows, seed=0)))
    return {
        "gate_time_constant": Estimate.sampled(
            float(value[0]), "steps", number_interval(again, len(rows), seed=0), n=len(rows),
            null=Null("gates that keep nothing", 0.0), longest=float(rows.shape[1] - 1),
            beyond=f"half of the gates keep their state for more than {rows.shape[1] - 1} steps",
        ),
        "saturated_gates": _share_saturated(evidence["saturated"], seed),
    }  # fmt: skip


def _share_saturated(rows: Float[np.ndarray, "sequences stretches"], seed: int) -> Estimate:
    """Of few sequences the interval is over their stretches."""
    count, few = len(rows), len(rows) < FEWEST_SEQUENCES
    samples = rows[~np.isnan(rows)] if few else np.nanmean(rows, axis=1)
    again = resampled_means(samples[:, None], seed)[:, 0] if len(samples) else samples
    return Estimate.sampled(
        float(samples.mean()) if len(samples) else np.nan, "",
        number_interval(again, len(samples)), n=count, null=Null("gates that move", 0.0),
    )  # fmt: skip


def _median(shares: Float[np.ndarray, "rows distances"]) -> Float[np.ndarray, " rows"]:
    """The distance at which each falling curve passes one half; infinite if it does not."""
    after = np.where((shares < 0.5).any(1), (shares < 0.5).argmax(1), 0)
    rows = np.arange(len(shares))
    upper, lower = shares[rows, np.maximum(after - 1, 0)], shares[rows, after]
    part = np.divide(upper - 0.5, upper - lower, out=np.zeros_like(upper), where=upper > lower)
    return np.where(after > 0, after - 1 + part, np.inf)


def tables(check: str, evidence: Evidence) -> list[Series]:
    """The share of gates that keep their state over each distance, layer by layer."""
    found = {name: rows for name, rows in evidence.items() if name.endswith("/gates")}
    parts = [
        {
            "distance": range(rows.shape[1]),
            "site": name.removesuffix("/gates"),
            "share": rows.mean(0),
            "n": len(rows),
        }
        for name, rows in found.items()
    ]
    return [Series.stacked(f"{check}-gates", parts)] if parts else []
