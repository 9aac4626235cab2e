"""The readable engine.  Read it in this order:

1. `elementwise`: the calculus table, one row for each op
2. `primitives`: the ops that are not elementwise, each beside its pullback
3. `tape`: what is remembered, and the walk back
4. `tensor`: what users hold
5. `gradcheck`: why anyone should believe it

`operations`, `functions` and `creation` give all that PyTorch's names; `arguments` reads what is
given to them, `signatures` refuses what is not supported, `promotion` says which dtype comes out,
`recording` whether anything is written down, `waiting` which gradients are multiplied together, or
only in part, and `collector` keeps Python's garbage collector from looking through a tape.
"""

import numpy as np

from .gradcheck import gradcheck, gradgradcheck
from .tensor import grad

__all__ = ["grad", "gradcheck", "gradgradcheck"]

# glibc gives freed memory back to the system above a threshold that grows with the largest block
# freed so far, and every training step would ask for it again, page by page.  A block of just under
# 32 MB that nobody touches lifts the threshold: an LSTM step at B = 50, T = 50, H = 128 goes from
# 36 to 26 ms.  It costs microseconds, and nothing where the allocator is another.
np.empty(32 * 2**20 - 8192, np.uint8)
