"""Watch a training by Lightning (extra `lightning`)."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from seqprobe.training.session import Session, attach


class SeqProbeCallback(Callback):
    """Attaches to the module, or to one of its parts, and steps with its optimizers.

    Args:
        part: dotted name of what reads the sequences, such as `model`, where the LightningModule
            is not called itself.
        **asked: as for `seqprobe.attach`; `start` and `scaler` are known.
    """

    def __init__(self, part: str = "", **asked: Any) -> None:
        self._part, self._asked = part, asked
        self.session: Session | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.session = attach(
            pl_module.get_submodule(self._part),
            start=trainer.global_step,
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            **self._asked,
        )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert self.session is not None
        while self.session.updates < trainer.global_step:
            self.session.step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.session is not None:
            self.session.remove()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.on_train_end(trainer, pl_module)
