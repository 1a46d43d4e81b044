"""A layout is claimed only if it accounts for every tensor of its file, exactly once."""

from dataclasses import replace

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Layout

_COUNTER = {"n_averaged"}  # of torch.optim.swa_utils, beside the averaged weights


def covering(layout: Layout, contents: Contents) -> Layout | None:
    """The layout, or None if a tensor is left over or two have the same place."""
    whole = replace(layout, ignored=layout.ignored | (contents.weights.keys() & _COUNTER))
    once = len(set(whole.names.values())) == len(whole.names)
    everything = whole.names.keys() | whole.ignored == contents.weights.keys()
    return whole if once and everything else None
