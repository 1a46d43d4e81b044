"""Whether a model predicts the next token, so that it has a loss."""

from seqprobe.contracts import Observation


def why_no_loss(observation: Observation) -> str:
    """Why the loss on the next token means nothing; empty where it does."""
    if observation.frequencies is None:
        return "the model reads real-valued features and predicts no tokens"
    outputs, tokens = observation.outputs.shape[-1], len(observation.frequencies)
    if outputs != tokens:
        return f"the model gives {outputs} outputs for {tokens} tokens: it does not predict them"
    if not observation.causal:
        return "outputs depend on later inputs, so that they know the next token"
    return ""
