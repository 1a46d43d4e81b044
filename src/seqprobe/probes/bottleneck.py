"""How many bits about each past symbol, or each one ahead, can be read from the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from seqprobe.contracts import (
    Baseline,
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Observation,
    Probe,
    Series,
)
from seqprobe.estimators.information import (
    DecodedBits,
    Effort,
    OnlineCode,
    decodable_bits,
    normal_bits,
    online_code,
)
from seqprobe.probes.bottleneck_on_data import BottleneckOnData
from seqprobe.probes.evidence.kept import Kept
from seqprobe.probes.evidence.recorded import Recorded, ahead, recorded, turned

SEQUENCES, CACHED = 192, 16


class _Side(NamedTuple):
    """Which symbols are asked for."""

    symbols: str
    way: str


BACK, AHEAD = _Side("the past", "back"), _Side("what lies ahead", "ahead")


@dataclass(frozen=True)
class Bottleneck(Probe):
    """Bits about x_{t-k} that held-out decoders find in the state at t."""

    id: ClassVar[str] = "bottleneck"
    version: ClassVar[int] = 2
    passes: ClassVar[float] = 0.5
    title: ClassVar[str] = "Bits kept in the state"
    question: ClassVar[str] = "What can still be read from the state about the symbol k steps back?"
    method: ClassVar[str] = (
        "The model reads independent, equally likely symbols (real-valued models: normal noise). "
        "Decoders are fitted on four fifths of the sequences and scored on the last fifth, in "
        "turn: linear ones in closed form, the same with symbols decoded one after the other, and "
        "nearest neighbours; each distance takes the one that does best on the other folds. Bits "
        "are the known entropy of the symbol minus the decoder's loss: a lower bound for "
        "everything that the state holds. The null is the same on the symbols of other sequences. "
        "On the data, where symbols depend on each other, stands what the state adds to what the "
        "tokens read since then tell anyhow. In models that look ahead, all states together are "
        "also asked for the symbols k steps later: all that is named `ahead`."
    )
    reading: ClassVar[str] = (
        "The state holds at least so many bits about the symbol k steps back; the dashed line is "
        "all there is to know. Inside the null band nothing was found. On the data, nearer tokens "
        "may tell what is readable anyhow; the bold line is what only a memory adds, and the map "
        "says of which tokens. Where a symbol moves the state and yet nothing is read, it may be "
        "kept only in combination with others, as a parity is: storage of one symbol and "
        "sensitivity to it are different things."
    )
    limits: ClassVar[str] = (
        "At least: what the decoders cannot read is not counted, and few sequences make them "
        "read less. Independent symbols are far from text that a model was trained on. For "
        "attention it is the vector at one position; with its cache every symbol of the window "
        "stays available. Bits on the data are estimates, not bounds."
    )
    references: ClassVar[tuple[str, ...]] = (
        "The IM algorithm: a variational approach to information maximization "
        "(Barber and Agakov, 2003)",
        "A theory of usable information under computational constraints (Xu et al., 2020)",
        "Designing and interpreting probes with control tasks (Hewitt and Liang, 2019)",
        "Information-theoretic probing with minimum description length (Voita and Titov, 2020)",
    )  # fmt: skip
    baselines: ClassVar[tuple[Baseline, ...]] = ("data",)

    effort: Effort = "ensemble"

    @property
    def needs(self) -> Needs:
        return Needs(stream="iid", states=True, mixing=True, sequences=SEQUENCES)

    def as_baseline(self) -> Probe:
        return BottleneckOnData(distance=self.distance, seed=self.seed)

    def observe(self, observation: Observation) -> Evidence:
        rows, symbols = len(observation.sequences), observation.alphabet
        kinds, embedded = {each.kind for each in observation.mixers}, observation.embeddings
        attends = "attention" in kinds and not observation.layers
        return {
            **recorded(observation, SEQUENCES),
            **turned(observation, SEQUENCES),
            "alphabet": np.tile([] if symbols is None else symbols.cpu().numpy(), (rows, 1)),
            **({"cache": _cache(embedded)} if attends and embedded is not None else {}),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        seen, alphabet = Recorded.of(evidence), torch.from_numpy(evidence["alphabet"][0])
        sites, series = self._sites(seen, alphabet), tuple[Series, ...]()
        if len(alphabet):
            sites += self._of_the_cache(seen, evidence, alphabet)
            series = self._effort(seen, alphabet)
        metrics = sites[0].metrics(self.distance)
        back = Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="total_bits",
            series=(Series.stacked(self.id, [site.columns for site in sites]), *series),
            warnings=sites[0].warnings,
        )
        return self._with_ahead(back, evidence, alphabet) if ahead(evidence) else back

    def _with_ahead(
        self, back: Measurement, evidence: Evidence, alphabet: torch.Tensor
    ) -> Measurement:
        """Of what lies ahead as of a past, in the first site alone."""
        seen = Recorded.of(ahead(evidence))
        kept = self._sites(seen, alphabet, most=1)[0]
        metrics = kept.metrics(self.distance)
        return replace(
            back,
            headline=f"{back.headline} {_headline(metrics, self.distance, AHEAD)}",
            metrics={**back.metrics, **{f"{name}_ahead": each for name, each in metrics.items()}},
            series=(*back.series, Series.stacked(f"{self.id}-ahead", [kept.columns])),
            warnings=tuple(dict.fromkeys((*back.warnings, *kept.warnings))),
        )

    def _sites(self, seen: Recorded, alphabet: torch.Tensor, most: int | None = None) -> list[Kept]:
        """What each site keeps, or the first few of them."""
        past, lags = self._past(seen, alphabet), seen.lags(self.distance)
        return [
            Kept.of(site, seen.width(site), state, lags, self._bits(state, past, len(alphabet)))
            for site, state in [*seen.sites.items()][:most]
        ]

    def _past(self, seen: Recorded, alphabet: torch.Tensor) -> torch.Tensor:
        """What was read before each step: places in the alphabet, or noise where there is none."""
        read = torch.searchsorted(alphabet, seen.read) if len(alphabet) else seen.read.float()
        return seen.lagged(read, seen.lags(self.distance))

    def _bits(
        self, state: Float[torch.Tensor, "_ _ width"], past: torch.Tensor, classes: int
    ) -> DecodedBits:
        """About symbols of so many classes, or about noise where there are none."""
        if not classes:
            return normal_bits(state, past, seed=self.seed)
        return decodable_bits(state, past, classes, effort=self.effort, **self._how(classes))

    def _of_the_cache(
        self, seen: Recorded, evidence: Evidence, alphabet: torch.Tensor
    ) -> list[Kept]:
        if "cache" not in evidence:
            return []
        cache, classes = torch.from_numpy(evidence["cache"]), len(alphabet)
        own = torch.searchsorted(alphabet, seen.read)[:, -cache.shape[1] :, None]
        bits = decodable_bits(cache, own, classes, effort="linear", **self._how(classes))
        lags = seen.lags(self.distance)
        return [Kept.everywhere("with the cache of all positions", cache, lags, bits)]

    def _effort(self, seen: Recorded, alphabet: torch.Tensor) -> tuple[Series, ...]:
        """Where it is asked for, how hard the symbols are to read."""
        if self.effort != "full":
            return ()
        past, classes = self._past(seen, alphabet), len(alphabet)
        code = online_code(seen.together, past, classes, **self._how(classes))
        return (_readability(code, seen.lags(self.distance)),)

    def _how(self, classes: int) -> dict[str, Any]:
        return {"chances": torch.full((classes,), 1 / classes), "seed": self.seed}


def _readability(code: OnlineCode, lags: Sequence[int]) -> Series:
    columns = {
        "distance": lags,
        "saved": code.saved,
        "final": code.final,
        "samples": code.effort,
        "readability": np.array(code.verdicts),
    }
    return Series.of("bottleneck-effort", columns, {"distance": "steps"})


def _cache(embedded: Float[torch.Tensor, "batch time embedding"]) -> np.ndarray:
    """What the keys and values of the first layer are made of, at a few positions."""
    few: np.ndarray = embedded[:, -CACHED:].detach().float().cpu().numpy()
    return few


def _headline(metrics: dict[str, Estimate], distance: int, side: _Side = BACK) -> str:
    total, horizon, there = (metrics[m] for m in ("total_bits", "horizon", "bits_at_distance"))
    if total.value is None:
        return f"Not estimable, because {total.reason}."
    if horizon.value == 0:
        return "Nothing about the symbols can be read from the state, not even the present one."
    back = (
        f"up to {horizon.value - 1:.0f} steps {side.way}"
        if horizon.value
        else f"also at {horizon.low:.0f} steps, the longest measured"
    )
    at = "" if there.value is None else f" At distance {distance} it holds {_at(there)}."
    return f"The state holds at least {total.value:.1f} bits about {side.symbols}, {back}.{at}"


def _at(there: Estimate) -> str:
    if there.null is not None and (there.low or 0) <= max(there.null.high or 0, 0):
        return "nothing that could be found"
    of = "" if there.ceiling is None else f" of {there.ceiling:.2f}"
    value = there.value or 0.0
    return (
        f"at least {value:.2f}{of} bits" if value >= 0.01 else f"hardly anything, {value:.1g} bits"
    )
