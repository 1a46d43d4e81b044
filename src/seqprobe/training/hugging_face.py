"""Watch a training by the Trainer of transformers (extra `hf`)."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from seqprobe.training.session import Session, attach


class SeqProbeCallback(TrainerCallback):
    """Attaches to the Trainer's model, and steps with its optimizer.

    Args:
        **asked: as for `seqprobe.attach`; `start` and `scaler` are known.
    """

    def __init__(self, **asked: Any) -> None:
        self._asked = asked
        self.session: Session | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **seen: Any
    ) -> None:
        scaler = getattr(seen.get("optimizer"), "scaler", None)
        self.session = attach(seen["model"], start=state.global_step, scaler=scaler, **self._asked)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if self.session is not None:
            self.session.step()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        if self.session is not None:
            self.session.remove()
