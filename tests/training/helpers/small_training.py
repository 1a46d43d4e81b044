"""A model that is small, with attention in it, and what it trains on."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VOCAB, WIDTH, BATCH, TIME = 5, 8, 8, 12


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.block = nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.1, batch_first=True)
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.block(self.embedding(tokens)))


def loss_of(model: nn.Module) -> Tensor:
    tokens = torch.randint(VOCAB, (BATCH, TIME))
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
