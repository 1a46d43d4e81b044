"""A Trainer of Lightning, watched: `pip install 'seqprobe[lightning]'`."""

import lightning.pytorch as lightning
import torch
from plain_loop import Recall
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from seqprobe.training import JSONL
from seqprobe.training.lightning import SeqProbeCallback

LAG = 4


class Learner(lightning.LightningModule):
    """Says what came four steps ago."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Recall()

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        (tokens,) = batch
        outputs = self.model(tokens)[:, LAG:]
        return cross_entropy(outputs.flatten(0, 1), tokens[:, :-LAG].flatten())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def main() -> None:
    lightning.seed_everything(0)
    watch = SeqProbeCallback(
        "model",
        every=10,
        loggers=[JSONL("lightning.jsonl")],
        held_out=torch.randint(8, (16, 32)),
        distance=LAG,
    )
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    sequences = TensorDataset(torch.randint(8, (1280, 32)))
    trainer.fit(Learner(), DataLoader(sequences, batch_size=32))


if __name__ == "__main__":
    main()
