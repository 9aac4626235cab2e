"""Numbers as places on a scale, and these as colours, shades of the palette, or characters."""

from typing import NamedTuple

import numpy as np

from ..autograd.primitives import Array
from .look import SHADES

BLUE, WHITE, RED = (33, 102, 172), (247, 247, 247), (178, 24, 43)
VIRIDIS = (68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)
ZERO, FAULT = (128, 128, 128), (255, 0, 255)
"""On a logarithmic scale 0 has no place; what is infinite has none anywhere."""
CHARACTERS = ".:-=+*#%@"
DECADES = 8
"""What is smaller than the largest by more powers of ten has the colour of the smallest."""


class Scale(NamedTuple):
    """The numbers from the first colour to the last: linear, or logarithmic."""

    low: float
    high: float
    log: bool

    @property
    def ends(self) -> tuple[tuple[int, int, int], ...]:
        """The colours, at equal distances."""
        return VIRIDIS if self.log else (BLUE, WHITE, RED) if self.low < 0 else (WHITE, RED)

    def levels(self, values: Array) -> Array:
        """How far from the first colour (0) to the last (1) each value is; NaN for NaN."""
        low, high = self.low, self.high
        if self.log:
            with np.errstate(all="ignore"):
                values, low, high = np.log(values), np.log(low), np.log(high)
        return ((values - low) / (high - low)).clip(0, 1)

    def at(self, norm: float) -> float:
        """The level of one number; 0 for NaN."""
        return float(np.nan_to_num(self.levels(np.array(norm))))

    def shade(self, norm: float) -> str:
        """The class that colours a norm: "g0" to "g8", "zero", or "bad" for NaN and infinity."""
        if not np.isfinite(norm):
            return "bad"
        return f"g{min(int(self.at(norm) * SHADES), SHADES - 1)}" if norm else "zero"

    def rgba(self, values: Array) -> Array:
        """The colour of each value, in numbers up to 255; for NaN none."""
        at, ends = self.levels(values) * (len(self.ends) - 1), np.array(self.ends)
        rgb = np.stack([np.interp(at, range(len(ends)), part) for part in ends.T], axis=-1)
        rgb[np.isinf(values)] = FAULT
        if self.log:
            rgb[values == 0] = ZERO
        alpha = np.where(np.isnan(values), 0, 255)[..., None]
        return np.nan_to_num(np.concatenate([rgb, alpha], axis=-1)).round().astype(np.uint8)

    def signs(self, values: Array, coloured: bool = True) -> list[list[str]]:
        """What stands for each value: "#rrggbb", or from "." (the first) to "@" (the last)."""
        if coloured:
            return [
                [f"#{r:02x}{g:02x}{b:02x}" if alpha else "" for r, g, b, alpha in row]
                for row in self.rgba(values).tolist()
            ]
        levels = np.nan_to_num(self.levels(values) * len(CHARACTERS)).astype(int)
        signs = np.array([*CHARACTERS])[levels.clip(0, len(CHARACTERS) - 1)]
        signs[np.isnan(values)] = " "
        signs[np.isinf(values)] = "!"
        if self.log:
            signs[values == 0] = "0"
        return signs.tolist()


def scale_of(*arrays: Array, log: bool) -> Scale:
    """The scale on which all values can be told apart; a linear one is as long on both sides."""
    values = np.concatenate([[], *(array.ravel() for array in arrays)])
    there = values[np.isfinite(values) & ((values > 0) | (not log))]
    high = float(np.abs(there).max(initial=0)) or 1.0
    if not log:
        return Scale(-high if (there < 0).any() else 0.0, high, log)
    low = max(float(there.min(initial=high)), high * 10.0**-DECADES)
    return Scale(low if low < high else high / 10, high, log)
