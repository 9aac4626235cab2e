"""Elementwise functions on float32 in plain arithmetic, so that loops with them vectorise.

The C library's are called one element at a time: 2 to 8 ns each, against a third of a nanosecond.
All are right to a few units in the last place, let NaN through, and take infinity as NumPy does;
results below the least normal number may round differently.  The coefficients are fitted to the
smallest largest relative error on the interval that each comment names.
"""

from typing import Any

import numpy as np

from .compiler import word
from .intrinsics import bits, from_bits, where

F, I = np.float32, np.int32
LOG2E = F(1.4426950408889634)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)  # 9 bits, so n times it is exact; the rest
ROUND = F(1.5 * 2**23)  # adding it leaves no room for a fraction
INF, LEAST = F(np.inf), F(2.0**-126)


@word
def sign(x: Any) -> Any:
    return where(x > F(0), F(1), where(x < F(0), F(-1), x))


@word
def tanh(x: Any) -> Any:
    """x P(x²) / Q(x²), fitted on [0, 9.02], where tanh rounds to 1."""
    x = where(x > F(9.02), F(9.02), where(x < F(-9.02), F(-9.02), x))
    s = x * x
    p = F(1.3319055926752695e-08) * s + F(2.058347356409745e-05)
    p = p * s + F(3.4940343126913615e-03)
    p = p * s + F(0.13379717820809514)
    p = p * s + F(0.9999999790267626)
    q = F(7.762013940876354e-07) * s + F(3.283092269031444e-04)
    q = q * s + F(0.025871072528915403)
    q = q * s + F(0.4671303306503182)
    q = q * s + F(1)
    y = x * p / q
    return where(y > F(1), F(1), where(y < F(-1), F(-1), y))  # rounding may step over


@word
def _reduce(x: Any) -> Any:
    """n and exp(r) - 1 of x = n ln 2 + r, the latter fitted on |r| <= ln 2 / 2."""
    t = x * LOG2E + ROUND
    n = t - ROUND
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = F(0.0013882521307095885) * r + F(0.008366520516574383)
    p = p * r + F(0.04166720062494278)
    p = p * r + F(0.1666654348373413)
    p = p * r + F(0.4999999701976776)
    return bits(t) - bits(ROUND), p * r * r + r


@word
def exp(x: Any) -> Any:
    """2ⁿ (1 + q), in two halves: 2ⁿ itself may overflow or underflow where the result does not."""
    x = where(x > F(89), F(89), where(x < F(-104), F(-104), x))
    n, q = _reduce(x)
    m = n >> I(1)
    return (q + F(1)) * from_bits((m + I(127)) << I(23)) * from_bits((n - m + I(127)) << I(23))


@word
def expm1(x: Any) -> Any:
    """2ⁿ q + (2ⁿ - 1): nothing cancels where n = 0."""
    n, q = _reduce(where(x > F(80), F(80), where(x < F(-20), F(-20), x)))
    s = from_bits((n + I(127)) << I(23))
    return where(x > F(80), exp(x), where(x == F(0), x, s * q + (s - F(1))))


@word
def log(x: Any) -> Any:
    """n ln 2 + log(1 + f), fitted on 1 + f from sqrt(1/2) to sqrt(2)."""
    small = x < LEAST
    scaled = where(small, x * F(2.0**23), x)
    # The exponent counts from sqrt(1/2), so that what is left of it lies around 1.
    i = bits(scaled) - bits(F(0.70710678))
    n = F(i >> I(23)) - where(small, F(23), F(0))
    f = from_bits((i & I(0x7FFFFF)) + bits(F(0.70710678))) - F(1)
    p = F(-0.07634496688842773) * f + F(0.1276157647371292)
    p = p * f + F(-0.13160182535648346)
    p = p * f + F(0.14201757311820984)
    p = p * f + F(-0.16623356938362122)
    p = p * f + F(0.20001226663589478)
    p = p * f + F(-0.2500081956386566)
    p = p * f + F(0.3333333134651184)
    p = p * f + F(-0.5)
    y = n * LN2_LOW + p * f * f + f + n * LN2_HIGH
    y = where(x == F(0), -INF, where(x < F(0), F(np.nan), y))
    return where((x == INF) | (x != x), x, y)


@word
def log1p(x: Any) -> Any:
    """log(w) x / (w - 1) with w = 1 + x rounded: what rounding did to w, the quotient undoes."""
    w = x + F(1)
    rest = w - F(1)
    y = log(w) * (x / rest)
    return where(rest == F(0), x, where((w == INF) | (w <= F(0)), log(w), y))
