"""A vision transformer, measured by distance on the image: how far do its patches look?

The patches of an image are the steps of a sequence. Put the weights of your own model in place of
the random ones, and the patches of your own images in place of noise (data="patches.npy", an array
of (images, patches, numbers per patch)).
"""

import torch
from torch import nn
from torch.nn.functional import fold
from transformers import ViTConfig, ViTModel

import seqprobe

ROWS, COLUMNS, PATCH, CHANNELS = 6, 4, 4, 3
CONFIG = ViTConfig(
    image_size=(ROWS * PATCH, COLUMNS * PATCH),
    patch_size=PATCH,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
)


class OfPatches(nn.Module):
    """Puts the image together again, and gives what the last layer says of every patch."""

    def __init__(self, vit: ViTModel) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        image = fold(patches.mT, self.vit.config.image_size, kernel_size=PATCH, stride=PATCH)
        return self.vit(image).last_hidden_state[:, 1:]  # the first one is the class token


def main() -> None:
    torch.manual_seed(0)
    model = seqprobe.SequenceModel(
        OfPatches(ViTModel(CONFIG, add_pooling_layer=False)),
        features=CHANNELS * PATCH**2,
        grid=(ROWS, COLUMNS),
        predicts="values",
    )
    report = seqprobe.analyze(model, probes=("gradient-decay", "position"), limit=16)
    for probe in ("gradient-decay", "position"):
        found = report[probe].metrics["grid_mean_distance"]
        print(f"{probe}: {found.value:.3g} patches, {found.null.name}: {found.null.value:.3g}")
    for distance, relative, *_ in report.table("gradient-decay-grid").rows:
        print(f"{distance} patches away: {relative:.2f} of the mean gradient")


if __name__ == "__main__":
    main()
