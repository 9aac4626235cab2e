"""A cell over time."""

from .unroll import State, map_state, unroll

__all__ = ["State", "map_state", "unroll"]
