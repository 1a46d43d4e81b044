"""Tokens of a large vocabulary, read through their embedding: bits, seconds and memory.

    python benchmarks/vocabulary.py

Three embedded tokens are superposed in each state, through random maps, with a little noise; the
middle one is read. Any of 50,000 tokens is as likely: 15.61 bits.
"""

import math
import resource
import time

import torch

from seqprobe.estimators.information import embedded_bits

VOCAB, WIDTH, EMBEDDING, SEQUENCES, STEPS, SUPERPOSED = 50_000, 4096, 768, 100, 100, 3


def main() -> None:
    torch.manual_seed(0)
    embedding = torch.randn(VOCAB, EMBEDDING)
    maps = torch.randn(SUPERPOSED, EMBEDDING, WIDTH) / math.sqrt(EMBEDDING)
    tokens = torch.randint(VOCAB, (SEQUENCES, STEPS, SUPERPOSED))
    states = 0.1 * torch.randn(SEQUENCES, STEPS, WIDTH)
    for each, map_ in zip(tokens.unbind(-1), maps, strict=True):
        states += embedding[each] @ map_
    before, start = gibibytes(), time.process_time()
    chances = torch.full((VOCAB,), 1 / VOCAB)
    found = embedded_bits(states, tokens[..., 1:2], embedding, chances=chances)
    print(
        f"{found.lower[0]:.2f} of {found.entropy[0]:.2f} bits ({found.verdicts[0]}), null "
        f"{found.null.mean():.3f}, {time.process_time() - start:.0f} CPU seconds, "
        f"{before:.1f} GiB before and {gibibytes():.1f} GiB at most"
    )


def gibibytes() -> float:
    """At the highest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
