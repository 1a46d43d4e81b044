"""How finely a model computes, whatever its parameters are."""

import math

import torch

TENSOR_FLOAT = 2.0**-10
"""The spacing of numbers with the significand of TensorFloat-32."""


def of_products(device: torch.device) -> str:
    """In which precision matrices of float32 are multiplied there, in the words of torch."""
    products = f"products {torch.get_float32_matmul_precision()}"
    return f"{products}, cuDNN {_cudnn()}" if device.type == "cuda" else products


def spacing(dtype: torch.dtype, device: torch.device) -> float:
    """Of numbers near one; by default cuDNN runs recurrences of float32 in TensorFloat-32."""
    own = torch.finfo(dtype).eps
    coarse = dtype == torch.float32 and device.type == "cuda" and _cudnn() == "tf32"
    return max(own, TENSOR_FLOAT) if coarse else own


def alike(dtype: torch.dtype, device: torch.device) -> float:
    """Up to which difference, relative to the largest, two ways to compute outputs are the same."""
    return max(1e-3, math.sqrt(spacing(dtype, device)))


def _cudnn() -> str:
    return str(torch.backends.cudnn.rnn.fp32_precision)  # type: ignore[attr-defined]
