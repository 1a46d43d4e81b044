"""Classes known to carry a state through the steps without `nn.RNN`: linear recurrences, selective
state spaces, linear attention, gated delta nets.

The class tells the kind alone: that a module mixes positions, and how far, is measured.
"""

from torch import nn

BY_PACKAGE = {
    "transformers": """
        BailingHybridDeltaAttention BambaMixer FalconH1Mixer FalconMambaMixer
        Glm5NextTextLinearAttention GraniteMoeHybridMambaLayer JambaMambaMixer
        KimiLinearDeltaAttention Mamba2Mixer MambaMixer MiniMaxLightningAttention
        NemotronHMamba2Mixer OlmoHybridGatedDeltaNet Qwen3NextGatedDeltaNet
        Qwen3_5GatedDeltaNet Qwen3_5MoeGatedDeltaNet Qwen4ExpTextGatedDeltaNet
        RecurrentGemmaRglru RwkvSelfAttention Zamba2MambaMixer ZambaMambaMixer xLSTMLayer""",
    "mamba_ssm": "Mamba Mamba2 Mamba2Simple Mamba3",
    "fla": """
        ABCAttention BasedLinearAttention Comba DeltaNet GatedDeltaNet GatedDeltaProduct
        GatedLinearAttention GatedSlotAttention HGRN2Attention HGRNAttention KimiDeltaAttention
        LightNetAttention LinearAttention Mamba Mamba2 MesaNet MultiScaleRetention
        RWKV6Attention RWKV7Attention ReBasedLinearAttention""",
    "seqprobe": "Diagonal MambaMixer MinGRU MinLSTM",
}
CLASSES = frozenset(
    (package, name) for package, names in BY_PACKAGE.items() for name in names.split()
)


def is_state_space(part: nn.Module) -> bool:
    """Whether its class, or one that it is derived from, is among those that are known."""
    classes = type(part).__mro__
    return any((each.__module__.split(".")[0], each.__name__) in CLASSES for each in classes)
