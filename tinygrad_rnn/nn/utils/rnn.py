"""Sequences of different lengths in one tensor."""

from collections.abc import Iterable

import numpy as np

from ...autograd import primitives
from ...autograd.functions import stack
from ...autograd.tensor import Tensor


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """B sequences side by side, filled up to the longest with `padding_value`.

    Shapes: sequences (T_b, ...); the result (T, B, ...), or (B, T, ...) with `batch_first`, where T
    is the largest T_b.

    Source: `torch.nn.utils.rnn.pad_sequence`.

    Raises: ValueError when there is no sequence, or when they differ in more than their length.

    >>> from tinygrad_rnn import tensor
    >>> pad_sequence([tensor([1, 2, 3]), tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    parts = list(sequences)
    shapes = [np.shape(part) for part in parts]
    if not parts or () in shapes or len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(
            "pad_sequence expects sequences (T_b, ...) that differ in their first dim alone, got "
            f"the shapes {shapes}"
        )
    if padding_side not in ("right", "left"):
        raise ValueError(f"padding_side is 'right' or 'left', got {padding_side!r}")
    longest = max(shape[0] for shape in shapes)

    def padded(part: Tensor, shape: tuple[int, ...]) -> Tensor:
        missing = longest - shape[0]
        ends = (0, missing) if padding_side == "right" else (missing, 0)
        widths = (ends, *[(0, 0)] * (len(shape) - 1))
        return Tensor.apply(primitives.pad, part, widths=widths, value=padding_value)

    return stack(list(map(padded, parts, shapes)), dim=0 if batch_first else 1)
