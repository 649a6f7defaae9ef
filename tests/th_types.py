"""TH's element types, by their names in TH's functions: in C, and in torch."""

from __future__ import annotations

import torch

C_TYPES = {
    "Float": "float",
    "Double": "double",
    "Long": "int64_t",
    "Int": "int32_t",
    "Short": "int16_t",
    "Char": "int8_t",
    "Byte": "uint8_t",
}
DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
}
FLOATING = ("Float", "Double")
ALL = tuple(C_TYPES)
