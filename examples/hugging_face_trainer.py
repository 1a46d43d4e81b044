"""A Trainer of transformers, watched: `pip install 'seqprobe[hf]' accelerate`."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from seqprobe.training import JSONL
from seqprobe.training.hugging_face import SeqProbeCallback


def main() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(16, (321, 16)).repeat(1, 2)  # the second half repeats the first
    config = GPT2Config(
        vocab_size=16, n_positions=32, n_embd=32, n_layer=2, n_head=2, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    watch = SeqProbeCallback(
        every=5,
        loggers=[JSONL("trainer.jsonl")],
        held_out=tokens[-16:],
        distance=15,
    )
    arguments = TrainingArguments(
        output_dir="trained",
        per_device_train_batch_size=16,
        num_train_epochs=1,
        learning_rate=3e-3,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
    )
    examples = [{"input_ids": row, "labels": row} for row in tokens[:-16]]
    Trainer(
        model=GPT2LMHeadModel(config), args=arguments, train_dataset=examples, callbacks=[watch]
    ).train()


if __name__ == "__main__":
    main()
