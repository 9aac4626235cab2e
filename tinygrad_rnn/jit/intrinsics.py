"""Words that Python has no short form for, written as LLVM code."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

INT = ir.IntType(64)


@intrinsic
def flat(typing: Any, array: Any, start: Any, width: Any) -> Any:
    """``array.ravel()[start : start + width]`` of a C array as a bare view.

    No bounds, no wrap-around, no reference counting, and LLVM still sees which array it is: loops
    over it vectorise, and half of their compile time goes away.
    """
    view = types.Array(array.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(signature.args[0])(context, builder, args[0])
        size = context.get_abi_sizeof(context.get_data_type(array.dtype))
        size = context.get_constant(types.intp, size)
        out = context.make_array(view)(context, builder)
        data = builder.gep(whole.data, [args[1]])
        populate_array(out, data, [args[2]], [size], size, meminfo=None)
        return out._getvalue()

    return view(array, types.intp, types.intp), codegen


@intrinsic
def address(typing: Any, array: Any, offset: Any) -> Any:
    """Where element ``array.ravel()[offset]`` of a C array lies, as an integer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(builder.gep(whole.data, [args[1]]), INT)

    return types.int64(array, types.intp), codegen


@intrinsic
def call(
    typing: Any, function: Any, a: Any, a_row: Any, a_k: Any, rows: Any, K: Any, b: Any, c: Any,
    c_row: Any, N: Any, add: Any, steps: Any, a_step: Any,
) -> Any:  # fmt: skip
    """Calls the product (see `products`) at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [INT] * 12)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 13), codegen


@intrinsic
def where(typing: Any, condition: Any, x: Any, z: Any) -> Any:
    """x or z, both computed: a loop with it has no branch, so it vectorises."""
    kind = typing.unify_types(x, z)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return kind(types.boolean, kind, kind), codegen


@intrinsic
def bits(typing: Any, x: Any) -> Any:
    """The 32 bits of a float32 as an integer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def from_bits(typing: Any, i: Any) -> Any:
    """The float32 that has these 32 bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen
