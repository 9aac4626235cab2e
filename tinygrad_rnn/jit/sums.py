"""Sums that NumPy is slow at: of rows that go to the same place, and of squares."""

from .numpy_kit import driver, loop, row_of


@loop
def add_row(n, whole, to, low, g, row, column):  # type: ignore[no-untyped-def]
    target = row_of(whole, to, low, n)
    source = row_of(g, row, column + low, n)
    for j in range(n):
        target[j] += source[j]


@driver
def scatter(whole, ids, g, column, low, high):  # type: ignore[no-untyped-def]
    """whole[ids[i, 0], low:high] += g[i, column + low : column + high], from the last i on."""
    for i in range(ids.shape[0] - 1, -1, -1):
        add_row(high - low, whole, ids[i, 0], low, g, i, column)


@loop
def add_squares(n, x):  # type: ignore[no-untyped-def]
    row = row_of(x, 0, 0, n)
    total = 0.0
    for j in range(n):
        value = 1.0 * float(row[j])  # a float64, in which no square of a float32 overflows
        total += value * value
    return total


@driver
def squares(x):  # type: ignore[no-untyped-def]
    """The sum of the squares of x (1, N), in float64."""
    return add_squares(x.shape[1], x)
