"""The shape of the register tile, by the vector registers of this machine."""

import os
import platform
from functools import cache
from typing import NamedTuple

import numpy as np

VARIABLE = "TINYGRAD_RNN_SIMD"


class Simd(NamedTuple):
    """The vector registers, and the heights in rows that tiles come in.

    The sums of a tile, one row of weights and an element of A have to fit into the registers.
    """

    bytes: int  # of one register
    heights: tuple[int, ...]
    half_heights: tuple[int, ...]  # of tiles half as wide, for a last panel

    def lanes(self, dtype: np.dtype) -> int:
        return self.bytes // dtype.itemsize


KINDS = {
    "avx512": Simd(64, (1, 2, 4, 6, 8, 12, 13), (4, 13)),  # 32 registers
    "neon": Simd(16, (1, 2, 4, 6, 8, 12, 13), (4, 13)),  # 32 registers
    "avx2": Simd(32, (1, 2, 4, 6), (2, 6)),  # 16 registers
    "sse": Simd(16, (1, 2, 4, 6), (2, 6)),  # 16 registers, and what any processor can do
}


def simd() -> Simd:
    """The shape for this machine, or the one that ``$TINYGRAD_RNN_SIMD`` names.

    Any shape is right on any machine; the wrong one is slow.
    Raises: ValueError for a name that is none of `KINDS`.
    """
    name = os.environ.get(VARIABLE) or detected()
    if name not in KINDS:
        raise ValueError(f"${VARIABLE}: expected one of {', '.join(KINDS)}, got {name!r}")
    return KINDS[name]


@cache
def detected() -> str:
    from llvmlite import binding

    if platform.machine().lower() in ("arm64", "aarch64"):
        return "neon"
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this operating system's way to ask
        return "sse"
    return "avx512" if features.get("avx512f") else "avx2" if features.get("avx2") else "sse"
