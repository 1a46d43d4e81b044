"""Mutual information between states and what was read, in bits."""

from seqprobe.estimators.information.decoder import DecodedBits, decodable_bits

__all__ = ["DecodedBits", "decodable_bits"]
