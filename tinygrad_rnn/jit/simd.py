"""The shape of the register tile, by the vector registers of this machine."""

import os
import platform
from typing import NamedTuple

import numpy as np

VARIABLE = "TINYGRAD_RNN_SIMD"


class Simd(NamedTuple):
    """The heights that a tile comes in, in rows; a panel is two registers wide.

    Its accumulators, the vectors of one row of weights and one broadcast element have to fit into
    the register file; eight accumulators or more keep the multipliers busy.
    """

    bytes: int  # of one vector register
    heights: tuple[int, ...]

    def lanes(self, dtype: np.dtype) -> int:
        return self.bytes // dtype.itemsize


KINDS = {
    "avx512": Simd(64, (1, 2, 4, 6, 8, 10, 12)),  # 32 registers
    "neon": Simd(16, (1, 2, 4, 6, 8, 10, 12)),  # 32 registers
    "avx2": Simd(32, (1, 2, 4, 6)),  # 16 registers
    "sse": Simd(16, (1, 2, 4, 6)),  # 16 registers, and what is safe everywhere
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


def detected() -> str:
    from llvmlite import binding  # type: ignore[import-untyped]

    if platform.machine().lower() in ("arm64", "aarch64"):
        return "neon"
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this operating system's way to ask
        return "sse"
    return "avx512" if features.get("avx512f") else "avx2" if features.get("avx2") else "sse"
