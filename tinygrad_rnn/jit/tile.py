"""The register tile: a small product C (+)= A @ W whose sums stay in vector registers.

BLAS packs the weights at every call, which a recurrent step of 25 rows cannot earn back.  Here they
are packed once, into *panels*: a few columns, row after row, which the tile reads in a straight
line.  The tile is written in LLVM's vectors, which fit the registers of any processor.

Whatever the shape of the tile, an element of C is summed over k from 0 upwards, by fused
multiply-adds: which tile computes it, and beside which rows, does not change a bit of it.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

BIT, INT = ir.IntType(1), ir.IntType(64)
VECTORS = 2
"""Registers in the width of a panel."""
BUSY = 8
"""Sums in flight that hide how long one multiply-add takes."""


def panels_at_once(height: int, vectors: int = VECTORS) -> int:
    """A low tile takes several panels, to be busy; a half panel is the last, so it is alone."""
    return max(1, BUSY // (height * vectors)) if vectors == VECTORS else 1


def tile_word(dtype: np.dtype, lanes: int, heights: tuple[int, ...], vectors: int) -> Any:
    """The word ``tile(rows, columns, a, a_row, a_k, b, K, c, c_row, add)``.

    ``c[i, j] (+)= sum_k a[i * a_row + k * a_k] * b[panel of j][k, j]`` for ``i < rows`` and
    ``j < columns``; a, b, c are addresses, strides count elements.  A panel is `vectors` registers
    wide.  At most ``heights[-1]`` rows, and as many panels as `panels_at_once` says.
    """
    scalar = ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()

    @intrinsic
    def tile(
        typing: Any, rows: Any, columns: Any, a: Any, a_row: Any, a_k: Any, b: Any, K: Any, c: Any,
        c_row: Any, add: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            after = builder.append_basic_block("after")
            choice = builder.switch(args[0], after)
            for low, height in pairwise((0, *heights)):
                drawn = Tile(builder.module, scalar, lanes, height, vectors).function
                block = builder.append_basic_block(drawn.name)
                for rows in range(low + 1, height + 1):
                    choice.add_case(INT(rows), block)
                builder.position_at_end(block)
                builder.call(drawn, args)
                builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9, types.boolean), codegen

    return tile


class Tile:
    """Writes the LLVM function of one height.

    Where fewer rows or panels are asked for than it has room for, it computes the last one several
    times over: cheaper than compiling a tile for every number.  Columns beyond the last are masked.
    """

    def __init__(self, module: Any, scalar: Any, lanes: int, height: int, vectors: int) -> None:
        self.module, self.lanes, self.width = module, lanes, vectors * lanes
        self.vector = ir.VectorType(scalar, lanes)
        self.size = 4 if scalar == ir.FloatType() else 8
        kind = ir.FunctionType(ir.VoidType(), [INT] * 9 + [BIT])
        self.function = ir.Function(module, kind, f"tile{height}x{vectors}")
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        rows, columns, a, a_row, a_k, b, K, c, c_row, add = self.function.args
        at = self.at = ir.IRBuilder(self.function.append_basic_block("start"))
        a, b, c = (at.inttoptr(address, scalar.as_pointer()) for address in (a, b, c))

        row = [self.clamped(i, at.sub(rows, INT(1))) for i in range(height)]
        panels = panels_at_once(height, vectors)
        last = at.sdiv(at.sub(columns, INT(1)), INT(self.width))
        panel = [at.mul(self.clamped(i, last), INT(self.width)) for i in range(panels)]
        column = [at.add(p, INT(v * lanes)) for p in panel for v in range(vectors)]
        self.lefts = [at.gep(a, [at.mul(a_row, i)]) for i in row]
        self.rights = [at.gep(b, [at.mul(K, p)]) for p in panel]
        self.cells = [at.gep(c, [at.add(at.mul(c_row, i), j)]) for i in row for j in column]
        lane = ir.VectorType(INT, lanes)(list(range(lanes)))
        room = [self.spread(at.sub(columns, j)) for j in column]
        self.masks = [at.icmp_signed("<", lane, r) for r in room] * height
        self.full = at.icmp_signed("==", columns, INT(self.width * panels))

        sums = self.sums(K, a_k, self.start(add))
        with at.if_else(self.full) as (whole, partly):
            with whole:
                for cell, value in zip(self.cells, sums, strict=True):
                    at.store(value, self.whole(cell)).align = self.size
            with partly:
                for cell, value, mask in zip(self.cells, sums, self.masks, strict=True):
                    self.masked("store", [value, self.whole(cell)], [mask])
        at.ret_void()

    def start(self, add: Any) -> list[Any]:
        """What the sums begin with: C or 0."""
        at, zero = self.at, self.vector([0.0] * self.lanes)
        origin = at.block
        with at.if_then(add):
            with at.if_else(self.full) as (whole, partly):
                with whole:
                    all_old = [self.load(cell) for cell in self.cells]
                    full_block = at.block
                with partly:
                    some_old = [
                        self.masked("load", [self.whole(cell)], [mask, zero])
                        for cell, mask in zip(self.cells, self.masks, strict=True)
                    ]
                    part_block = at.block
            old = [
                self.phi(self.vector, {full_block: x, part_block: y})
                for x, y in zip(all_old, some_old, strict=True)
            ]
            added = at.block
        return [self.phi(self.vector, {origin: zero, added: value}) for value in old]

    def sums(self, K: Any, a_k: Any, start: list[Any]) -> list[Any]:
        """The loop over k: one row of weights against one column of A."""
        at, before = self.at, self.at.block
        head, body, done = (
            self.function.append_basic_block(name) for name in ("head", "body", "done")
        )
        at.branch(head)
        at.position_at_end(head)
        k = self.phi(INT, {before: INT(0)})
        sums = [self.phi(self.vector, {before: value}) for value in start]
        at.cbranch(at.icmp_signed("<", k, K), body, done)

        at.position_at_end(body)
        b_k, a_at, news = at.mul(k, INT(self.width)), at.mul(k, a_k), []
        weights = [
            self.load(at.gep(right, [at.add(b_k, INT(j))]))
            for right in self.rights
            for j in range(0, self.width, self.lanes)
        ]
        for i, left in enumerate(self.lefts):
            x = self.spread(at.load(at.gep(left, [a_at])))
            for w, total in zip(weights, sums[i * len(weights) :], strict=False):
                news.append(self.multiply_add(x, w, total))
        k.add_incoming(at.add(k, INT(1)), body)
        for total, new in zip(sums, news, strict=True):
            total.add_incoming(new, body)
        at.branch(head)
        at.position_at_end(done)
        return sums

    def clamped(self, i: int, last: Any) -> Any:
        return self.at.select(self.at.icmp_signed("<", INT(i), last), INT(i), last)

    def phi(self, kind: Any, values: dict[Any, Any]) -> Any:
        phi = self.at.phi(kind)
        for block, value in values.items():
            phi.add_incoming(value, block)
        return phi

    def whole(self, place: Any) -> Any:
        """The place of a scalar as that of a vector."""
        return self.at.bitcast(place, self.vector.as_pointer())

    def load(self, place: Any) -> Any:
        value = self.at.load(self.whole(place))
        value.align = self.size
        return value

    def spread(self, value: Any) -> Any:
        """A vector that holds the value in every lane."""
        vector = ir.VectorType(value.type, self.lanes)
        none = vector(ir.Undefined)
        first = self.at.insert_element(none, value, ir.IntType(32)(0))
        lanes = ir.VectorType(ir.IntType(32), self.lanes)([0] * self.lanes)
        return self.at.shuffle_vector(first, none, lanes)

    def multiply_add(self, x: Any, w: Any, total: Any) -> Any:
        return self.intrinsic("fmuladd", "", self.vector, [x, w, total])

    def masked(self, what: str, before: list[Any], after: list[Any]) -> Any:
        """A load or store of those lanes alone that the mask (first of `after`) names."""
        answer = self.vector if what == "load" else ir.VoidType()
        args = [*before, ir.IntType(32)(self.size), *after]
        return self.intrinsic(f"masked.{what}", ".p0", answer, args)

    def intrinsic(self, name: str, suffix: str, answer: Any, args: list[Any]) -> Any:
        """LLVM names its functions on vectors by the vector: ``llvm.fmuladd.v16f32``."""
        kind = ir.FunctionType(answer, [arg.type for arg in args])
        full = f"llvm.{name}.v{self.lanes}f{8 * self.size}{suffix}"
        return self.at.call(get_or_insert_function(self.module, kind, full), args)
