"""How reports speak of models that read real values: of steps, and of the noise of outputs."""

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from seqprobe.contracts import Column, Readout, Series

T = TypeVar("T")
KEPT = {"id", "rule", "check", "metric", "reference", "references", "tables", "figures"}
NAMED: dict[type, set[str]] = {Column: {"name", "type"}, Series: {"id", "rows", "total_rows"}}
_TOKEN = re.compile(r"\b([Tt])oken(s?)\b")


def in_steps(said: T) -> T:
    """The same with steps for tokens, in all its words and units but not in names."""
    worded: T = _in_steps(said)
    return worded


def _in_steps(said: Any) -> Any:
    if isinstance(said, str):
        return _TOKEN.sub(lambda found: f"{'S' if found[1] == 'T' else 's'}tep{found[2]}", said)
    if isinstance(said, tuple):
        return tuple(map(_in_steps, said))
    if isinstance(said, dict):
        return {key: _in_steps(each) for key, each in said.items()}
    if is_dataclass(said) and not isinstance(said, type):
        kept = NAMED.get(type(said), KEPT)
        names = [each.name for each in fields(said) if each.name not in kept]
        return replace(said, **{name: _in_steps(getattr(said, name)) for name in names})
    return said


def of_noise(readout: Readout) -> str:
    """What real-valued outputs are compared with, and how that was found."""
    noise = [f"{each:.3g}" for each in readout.noise.tolist()]
    over = noise[0] if len(set(noise)) == 1 else f"{min(noise, key=float)} to "
    over += "" if len(set(noise)) == 1 else f"{max(noise, key=float)} over {len(noise)} outputs"
    how = (
        "the root mean square of its errors in predicting the next input. Its loss is the squared "
        "error over 2 ln 2 times the variance of the noise: a hundredth of perplexity is two "
        "hundredths of the mean squared error of one output"
        if readout.says
        else "its own, as it does not predict the next input"
    )
    return (
        "Real-valued outputs are taken for means of independent normal distributions. The standard "
        f"deviation of each, {over}, is {how}. It is measured once; intervals take it for "
        "known."
    )
