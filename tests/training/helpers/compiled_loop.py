"""A compiled training, watched. A script: a compiler cannot look into functions whose shapes are
checked, as they are under pytest.
"""

import torch
from small_training import Model, loss_of
from torch import Tensor

import seqprobe
from seqprobe.contracts import Observation
from seqprobe.models.own_passes import OwnPasses
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.loss_gradient import LossGradient
from seqprobe.training.entry import Entry


def compiled_run(*, watched: bool, in_place: bool) -> tuple[list[Tensor], list[Entry], set[int]]:
    """Parameters after ten steps, entries, and the graphs that were compiled in ordinary steps."""
    torch.manual_seed(0)
    model, entries, session = Model(), list[Entry](), None
    sizes: set[int] = set()
    if watched:
        session = seqprobe.attach(model, [LossGradient()], every=4, loggers=[entries.append])

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> object:
        sizes.add(len(graph.graph.nodes))
        return graph.forward

    if in_place:
        model.compile(backend=backend)
    compiled = model if in_place else torch.compile(model, backend=backend)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(10):
        optimizer.zero_grad()
        loss_of(compiled).backward()
        optimizer.step()
        if session:
            session.step()
    return [each.detach().clone() for each in model.parameters()], entries, sizes


def same_code_in_between(in_place: bool) -> None:
    """Due steps are seen; the others run the very graph that there is without a session."""
    torch.compiler.reset()
    plain, _, without = compiled_run(watched=False, in_place=in_place)
    torch.compiler.reset()
    watched, entries, sizes = compiled_run(watched=True, in_place=in_place)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert [entry.step for entry in entries] == [0, 4, 8]
    for entry in entries:
        assert entry.measurement is not None, entry.why_not
        (table,) = entry.measurement.series
        assert set(table.column("site")) == {"embedding", "block.self_attn"}
    assert len(without) == 1
    assert without < sizes
    assert len(sizes) == 2


def same_norms() -> None:
    """Those without a compiler."""
    torch.compiler.reset()

    def observed(backend: str | None) -> Observation:
        torch.manual_seed(0)
        model = Model()
        passes = OwnPasses(SequenceModel(model), [LossGradient().needs], None)
        passes.arm()
        loss_of(torch.compile(model, backend=backend) if backend else model).backward()
        (seen,) = passes.taken()
        return seen

    eager, compiled = observed(None), observed("aot_eager")
    assert torch.equal(eager.inputs, compiled.inputs)
    for site, norms in eager.loss_gradients.items():
        torch.testing.assert_close(compiled.loss_gradients[site], norms)
        torch.testing.assert_close(compiled.state_norms[site], eager.state_norms[site])


if __name__ == "__main__":
    same_norms()
    same_code_in_between(in_place=False)
    same_code_in_between(in_place=True)
