"""Waiting for another thread with open eyes: a core that went to sleep takes 0.05 ms to wake up."""

# mypy: disallow-untyped-defs=False

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from .compiler import Decorators
from .intrinsics import INT
from .kit import digest

MOST, LEAST = 30_000, 3_000
"""Looks at a number that has not changed, of some 0.05 us each."""
PAUSE = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}
"""What tells a core that it is waiting; other kinds of cores just look more often."""


@intrinsic
def now(typing: Any, address: Any) -> Any:
    """The integer at an address, which another thread may have written just now."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if pause := PAUSE.get(platform.machine()):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(get_or_insert_function(builder.module, kind, pause), [])
        pointer = builder.inttoptr(args[0], INT.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def put(typing: Any, address: Any, value: Any) -> Any:
    """Writes an integer at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], INT.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@cache
def wait() -> Callable[[int, int, int, int], None]:
    """``wait(address, old, patience, grace)``: until the integer at the address is not `old`.

    `patience` is the address of a number of looks, after which it gives up: the core that this
    thread keeps busy may be the one that the other needs.  Then it looks half as often next time,
    but `LEAST` times, until it has seen a change again.  After a change it lets `grace` more looks
    pass, for the other thread to let go of Python's lock.
    """

    def wait(address, old, patience, grace):
        looks = now(patience)
        for _ in range(looks):
            if now(address) != old:
                for _ in range(grace):
                    now(address)
                put(patience, MOST)
                return
        put(patience, max(looks // 2, LEAST))

    address = Decorators(digest("wait")).address(wait, 4)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(address)
