"""What one sequence tells about all of them: counted and timed costs do not depend on the data."""

from seqprobe.contracts import Costs, Observation


def costs_of_first(observation: Observation) -> Costs | None:
    """What runs cost, in the batch that begins with the first sequence; None in all others."""
    if observation.sequences[0] != 0:
        return None
    assert observation.costs is not None
    return observation.costs
