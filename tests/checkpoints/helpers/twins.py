"""State dicts of twins of originals: as if read from a file, and put into a template."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from seqprobe.checkpoints.contents import Contents, Module
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.tensors import Span, TensorSpec

FILE = Path("model.pt")


def contents_of(
    state: Mapping[str, Tensor], modules: Mapping[str, Module] | None = None, **beside: Any
) -> Contents:
    """As a reader would give them: tensors that share memory have the same span."""
    weights = {name: spec_of(tensor) for name, tensor in state.items()}
    return Contents(FILE, "torch.save (zip)", 1, weights, beside, modules or {})


def spec_of(tensor: Tensor) -> TensorSpec:
    storage = tensor.untyped_storage()
    span = Span(FILE, storage.data_ptr(), storage.nbytes())
    dtype = str(tensor.dtype).removeprefix("torch.")
    start = int(tensor.storage_offset())
    return TensorSpec(dtype, tuple(tensor.shape), tensor.stride(), span, start)


def claimed(found: Layout | Named | None) -> Layout:
    assert isinstance(found, Layout), found
    return found


def filled(found: Layout | Named | None, state: Mapping[str, Tensor], **chosen: Any) -> nn.Module:
    """What the layout says, if it leaves open exactly what was chosen, and offers that."""
    layout = claimed(found)
    assert {unknown.name for unknown in layout.unknowns} == chosen.keys()
    assert all(chosen[unknown.name] in unknown.candidates for unknown in layout.unknowns)
    return in_place(layout, state, **chosen)


def in_place(layout: Layout, state: Mapping[str, Tensor], **chosen: Any) -> nn.Module:
    """The template with every tensor in its place, none twice and none left over."""
    assert layout.names.keys() | layout.ignored == state.keys()
    assert not layout.names.keys() & layout.ignored
    module, _, name = layout.template.partition(":")
    model = getattr(import_module(module), name)(**layout.settings, **{**layout.stated, **chosen})
    given = {
        place: state[file].T if file in layout.transposed else state[file]
        for file, place in layout.names.items()
    }
    missing, unexpected = model.load_state_dict(given, strict=False)
    assert not unexpected
    places = model.state_dict()
    tied = {places[place].data_ptr() for place in given}
    assert all(places[place].data_ptr() in tied for place in missing)
    return model.eval()
