"""One more token after n others, with what the reference models have to keep of these."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.reference.language_models import AttentionLM, Block, RecurrentLM
from seqprobe.reference.min_recurrences import MinGRU, MinLM

Token = Int[Tensor, "batch 1"]
Logits = Float[Tensor, "batch vocab"]


class Memory(ABC):
    """What is kept of the tokens that were read; reading another one changes it."""

    @abstractmethod
    def read(self, token: Token) -> Logits:
        """The outputs at the next token."""

    @property
    @abstractmethod
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors of what was read so far."""

    @property
    def bytes(self) -> int:
        return sum(each.nbytes for each in self.kept)


def memory_of(model: nn.Module, batch: int, *, read: int = 0, room: int = 0) -> Memory:
    """As if `read` tokens had been read, with room for more.

    What a step costs depends on how much is kept, not on the numbers: states are zeros, keys and
    values of what was read are random (zeros might never get memory of their own).
    """
    match model:
        case RecurrentLM():
            return _Carried(model, _zero_state(model, batch))
        case MinLM():
            head = model.head.weight
            return _Scanned(model, [head.new_zeros(batch, head.shape[1]) for _ in model.layers])
        case AttentionLM():
            return _Cached(model, _empty_caches(model, batch, read + room), read)
    raise TypeError(f"no way to decode {type(model).__name__} step by step")


def _zero_state(model: RecurrentLM, batch: int) -> tuple[Tensor, ...]:
    layers, width = model.rnn.num_layers, model.rnn.hidden_size
    count = 2 if isinstance(model.rnn, nn.LSTM) else 1
    return tuple(model.head.weight.new_zeros(layers, batch, width) for _ in range(count))


@dataclass
class _Carried(Memory):
    """The state of an `nn.LSTM`, `nn.GRU` or `nn.RNN`."""

    model: RecurrentLM
    state: tuple[Tensor, ...]

    @property
    def kept(self) -> tuple[Tensor, ...]:
        return self.state

    def read(self, token: Token) -> Logits:
        state = self.state if len(self.state) == 2 else self.state[0]
        hidden, after = self.model.rnn(self.model.embedding(token), state)
        self.state = after if isinstance(after, tuple) else (after,)
        logits: Tensor = self.model.head(hidden[:, 0])
        return logits


@dataclass
class _Scanned(Memory):
    """The state of every minGRU, which is one step of what its scan computes at once."""

    model: MinLM
    states: list[Tensor]

    @property
    def kept(self) -> tuple[Tensor, ...]:
        return tuple(self.states)

    def read(self, token: Token) -> Logits:
        x = self.model.embedding(token[:, 0])
        for number, layer in enumerate(self.model.layers):
            assert isinstance(layer, MinGRU)
            new = layer.gate(x).sigmoid()
            self.states[number] = (1 - new) * self.states[number] + new * layer.value(x)
            x = x + self.states[number]
        logits: Tensor = self.model.head(x)
        return logits


Cache = tuple[Float[Tensor, "batch heads room part"], Float[Tensor, "batch heads room part"]]


def _empty_caches(model: AttentionLM, batch: int, room: int) -> list[Cache]:
    width, caches = model.head.in_features, []
    for block in model.blocks:
        assert isinstance(block, Block)
        heads = block.attention.heads
        empty = model.head.weight.detach().new_empty(batch, heads, room, width // heads)
        caches.append((torch.randn_like(empty), torch.randn_like(empty)))
    return caches


@dataclass
class _Cached(Memory):
    """Keys and values of all blocks, with room for those to come."""

    model: AttentionLM
    caches: list[Cache]
    length: int

    @property
    def kept(self) -> tuple[Tensor, ...]:
        return tuple(part[:, :, : self.length] for cache in self.caches for part in cache)

    def read(self, token: Token) -> Logits:
        x = self.model.embedding(token) + self.model.position.weight[self.length]
        for block, cache in zip(self.model.blocks, self.caches, strict=True):
            assert isinstance(block, Block)
            x = x + self._attended(block, block.attention_norm(x), cache)
            x = x + block.mlp(block.mlp_norm(x))
        self.length += 1
        logits: Tensor = self.model.head(self.model.norm(x))[:, 0]
        return logits

    def _attended(
        self, block: Block, x: Float[Tensor, "batch 1 width"], cache: Cache
    ) -> Float[Tensor, "batch 1 width"]:
        """One query against all keys so far and its own."""
        query, key, value = (
            part.unflatten(-1, (block.attention.heads, -1)).transpose(1, 2)
            for part in block.attention.query_key_value(x).chunk(3, dim=-1)
        )
        for kept, new in zip(cache, (key, value), strict=True):
            kept[:, :, self.length] = new[:, :, 0]
        keys, values = (kept[:, :, : self.length + 1] for kept in cache)
        mixed = F.scaled_dot_product_attention(query, keys, values)
        out: Tensor = block.attention.output(mixed.transpose(1, 2).flatten(-2))
        return out


@torch.no_grad()
def decoded(memory: Memory, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
    """The outputs at some more tokens, read one by one."""
    return torch.stack([memory.read(token) for token in tokens.split(1, dim=1)], dim=1)
