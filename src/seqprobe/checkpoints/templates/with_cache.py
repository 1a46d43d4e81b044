"""What a template returns when it is asked to read on later."""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor


class WithCache(NamedTuple):
    """Outputs, and what the template takes again as `cache`; it may be changed then."""

    logits: Float[Tensor, "batch time outputs"]
    cache: Any
