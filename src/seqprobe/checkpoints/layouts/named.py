"""Checkpoints that are recognised and not rebuilt, each with what to do."""

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.layouts.layout import Named
from seqprobe.checkpoints.layouts.signs import (
    Evidence,
    Sign,
    beside,
    both,
    either,
    hollow,
    names,
    over_images,
    over_time,
    quantised,
    without,
)

_FACTORY = "Give what builds it: --model pkg.module:factory [--set name=value]."
_FOLDER = "Give the folder that also holds its config.json, as save_pretrained writes it."
_OTHER = "Give a model that reads sequences; to measure a part of this one: --model."
_FORWARD = "its code: how its parts work together does not stand in the weights"
_CONFIG = "config.json: heads and positions do not stand in the weights"
_TWO = "one sequence to follow: it reads one and writes another"


def recognise(contents: Contents) -> Named | None:
    """The first of the table that fits; particular ones stand before general ones."""
    evidence = Evidence(contents)
    return next((named for sign, named in KNOWN if sign(evidence)), None)


KNOWN: tuple[tuple[Sign, Named], ...] = (
    (
        either(
            quantised,
            names(r"(^|\.)(qweight|SCB|absmax|weight_packed|quant_state\..*|_packed_params.*)$"),
        ),
        Named(
            "quantised weights",
            "the numbers before quantisation",
            "Dequantise them (in transformers: model.dequantize()), and give that checkpoint.",
        ),
    ),
    (
        either(
            names(r"(^|[._])lora_(A|B|embedding_[AB])(\.|$)"), beside(r"^adapter_config\.json$")
        ),
        Named(
            "adapter (LoRA or the like)",
            "the model that it changes",
            "Merge it into that model first: merge_and_unload() of peft, or `litgpt merge_lora`.",
        ),
    ),
    (
        both(beside(r"^ds_(version|config)$"), hollow),
        Named(
            "DeepSpeed checkpoint",
            "the numbers, which lie in pieces in other files",
            "Join them with `python zero_to_fp32.py . out` in its folder, and give out.",
        ),
    ),
    (
        beside(r"^(args|cfg)$", r"^(extra_state|optimizer_history|task_state)$"),
        Named("fairseq checkpoint", "its code and its dictionary", _FACTORY),
    ),
    (
        names(r"make_embedding\.emb_luts\."),
        Named("OpenNMT-py checkpoint", _TWO, _FACTORY),
    ),
    (
        either(beside(r"^CKPT\.yaml$"), names(r"(^|\.)embedding\.Embedding\.weight$")),
        Named("speechbrain checkpoint", "its hyperparams.yaml, which holds code", _FACTORY),
    ),
    (
        names(r"(_char_embedding_weights|\.input_linearity\.weight|_elmo_lstm\..*)$"),
        Named("ELMo (AllenNLP)", "its cells, which have clipped states", _FACTORY),
    ),
    (
        names(r"^(_text_field_embedder|_source_embedder|_token_embedder|_contextualizer)\."),
        Named("AllenNLP model", "its code, which its configuration names", _FACTORY),
    ),
    (
        names(r"^(joiner|joint|joint_network|transcriber)\."),
        Named("RNN transducer (torchaudio, icefall, ..)", _TWO, _FACTORY),
    ),
    (
        names(r"(^|\.)attn_layers\.layers\.\d+\.1\.to_q\.weight$"),
        Named("x-transformers model", "heads, positions and many options of its code", _FACTORY),
    ),
    (
        names(r"(^|\.)att\.(x_r|r_k|x_rwkvag)$"),
        Named("RWKV-7", "the code of its recurrence", _FACTORY),
    ),
    (
        names(r"(^|\.)att\.time_maa_"),
        Named("RWKV-6", "the code of its recurrence", _FACTORY),
    ),
    (
        names(r"(^|\.)att\.time_faaaa$"),
        Named("RWKV-5", "the code of its recurrence", _FACTORY),
    ),
    (
        names(r"(^|\.)(att|attention)\.time_first$"),
        Named(
            "RWKV-4",
            "the code of its recurrence",
            "Convert it with convert_rwkv_checkpoint_to_hf.py of transformers, or give --model.",
        ),
    ),
    (
        both(names(r"(^|\.)mixer\.dt_bias$"), without(r"^config\.json$")),
        Named("Mamba-2", "sizes of its heads and groups, which stand in config.json", _FOLDER),
    ),
    (
        names(r"\.mamba\.A_log$|\.mixer\.(Wqkv\.weight|A_b_log)$"),
        Named("Mamba with other parts (Jamba, Vim, ..)", _FORWARD, _FACTORY),
    ),
    (
        names(r"kernel\.(\w+\.)?log_dt$"),
        Named("S4 or S4D", "how its kernel is computed", _FACTORY),
    ),
    (
        names(r"(^|\.)tok_embeddings\.weight$", r"\.attention\.wq\.weight$"),
        Named(
            "Llama in Meta's own format",
            "heads and positions, which stand in params.json",
            "Convert it with convert_llama_weights_to_hf.py of transformers, and give the folder.",
        ),
    ),
    (
        names(r"\.layer\.\d+\.(SelfAttention|EncDecAttention)\.q\.weight$"),
        Named("T5 or a relative", _TWO, _FACTORY),
    ),
    (
        names(r"(^|\.)decoder\.layers\.\d+\.encoder_attn\."),
        Named("BART or a relative (Marian, M2M, fairseq)", _TWO, _FACTORY),
    ),
    (
        names(r"\.(cross_attn|cross_attention|crossattention|multihead_attn)\."),
        Named("encoder and decoder of attention", _TWO, _FACTORY),
    ),
    (
        names(
            r"(^|\.)(down_blocks|input_blocks|diffusion_model)\.", r"\.(up_blocks|output_blocks)\."
        ),
        Named("diffusion model", "a sequence that it reads", _OTHER),
    ),
    (
        names(r"(^|\.)patch_embed(ding|dings)?\."),
        Named("Transformer of images", "a sequence that it reads", _OTHER),
    ),
    (
        names(r"(^|\.)feature_extractor\.conv_layers\."),
        Named("wav2vec 2.0 or a relative", "a template for models of sound", _FACTORY),
    ),
    (
        over_images,
        Named("model of images", "a sequence that it reads", _OTHER),
    ),
    (
        both(
            names(r"(^|\.)word_embeddings\.weight$", r"attention\.(self\.query|q_lin)\.weight$"),
            without(r"^config\.json$"),
        ),
        Named("BERT or a relative", _CONFIG, _FOLDER),
    ),
    (
        both(
            names(r"\.(q_proj|k_proj|qkv_proj|query_key_value|Wqkv|q_attn)\.weight$"),
            without(r"^config\.json$"),
        ),
        Named("Transformer with the names of transformers", _CONFIG, _FOLDER),
    ),
    (
        either(
            names(r"recurrent_kernel|/(kernel|gamma|embeddings)(:\d+)?$|/vars/\d+$"),
            names(r"\.kernel$", r"\.(embedding|scale)$"),
        ),
        Named(
            "weights of Keras or Flax",
            "PyTorch's names and order",
            "Convert them to a PyTorch state dict, and give what builds it with --model.",
        ),
    ),
    (
        names(r"^rnns\.\d+\.(module\.)?(layers\.\d+\.)?linear\.weight(_raw)?$"),
        Named("AWD-LSTM of QRNN layers", "a template of quasi-recurrent layers", _FACTORY),
    ),
    (
        beside(r"(^|\.)input_chunk_length$"),
        Named("darts forecaster", "its scalers, and what it reads beside the series", _FACTORY),
    ),
    (
        either(beside(r"(^|\.)dataset_parameters$"), names(r"(^|\.)static_variable_selection\.")),
        Named("pytorch-forecasting model", "how its data are put together", _FACTORY),
    ),
    (
        names(r"(^|\.)encoder\.(.+\.)?weight_ih", r"(^|\.)decoder\.(.+\.)?weight_ih"),
        Named("encoder and decoder of recurrent layers", _TWO, _FACTORY),
    ),
    (
        over_time,
        Named(
            "convolutions over time (as in wav2letter or a TCN)",
            "strides, dilations, paddings and activations",
            _FACTORY,
        ),
    ),
)
