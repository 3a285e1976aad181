"""Matrix products on the CPU with a weight that is packed once.

Shapes: N rows, K columns of the left side, M columns of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Product:
    """Multiplies (N, K) by the transpose of a weight (M, K) again and again.

    oneDNN needs weights in blocks. Packed once, they are not packed again at every step; with 64 rows this
    would cost a tenth (bf16) or all (fp32) of the time of the product itself. For large products it is the
    faster way too where the left side has many columns.
    """

    def __init__(self, weight: Tensor, rows: int) -> None:
        self.weight = weight.t()
        self.packed = _packed(weight, rows)

    def __call__(self, left: Tensor) -> Tensor:
        """Return (N, M)."""
        if self.packed is None:
            return torch.mm(left, self.weight)
        return torch.ops.mkldnn._linear_pointwise(left, self.packed, None, "none", [], "")


def _packed(weight: Tensor, rows: int) -> Tensor | None:
    """Return the weight in oneDNN's layout, or None where this torch or processor has none for it."""
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.bfloat16):
        return None
    if not torch.backends.mkldnn.is_available():
        return None
    operators = torch.ops.mkldnn
    if not (hasattr(operators, "_reorder_linear_weight") and hasattr(operators, "_linear_pointwise")):
        return None
    if weight.dtype == torch.bfloat16 and not operators._is_mkldnn_bf16_supported():
        return None
    return operators._reorder_linear_weight(weight.contiguous(), rows)
