"""The simplest tokenizer: a byte is a token."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

BYTES = 256


@dataclass(frozen=True)
class Bytes:
    """Any file can be read so."""

    name: str = "bytes"
    unit: str = "bytes"
    size: int = BYTES

    @property
    def texts(self) -> Sequence[str]:
        return [chr(byte) for byte in range(BYTES)]

    def encode(self, text: bytes) -> Int[Tensor, " tokens"]:
        return torch.from_numpy(np.frombuffer(text, dtype=np.uint8).astype(np.int32))
