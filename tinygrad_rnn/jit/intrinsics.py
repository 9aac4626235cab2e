"""Words that Python has no short form for, written as LLVM code."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.cgutils import memset, raw_memcpy, unpack_tuple
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

INT = ir.IntType(64)


def whole(context: Any, builder: Any, kind: Any, array: Any) -> tuple[Any, Any]:
    """The address of a 2-D C array's first element, and the length of its rows."""
    array = context.make_array(kind)(context, builder, array)
    return array.data, unpack_tuple(builder, array.shape)[1]


@intrinsic
def row_of(typing: Any, array: Any, row: Any, column: Any, width: Any) -> Any:
    """``array[row, column : column + width]`` of a 2-D C array as a bare view.

    No bounds, no wrap-around, no reference counting, and LLVM still sees which array it is: loops
    over it vectorise, and half of their compile time goes away.
    """
    view = types.Array(array.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, length = whole(context, builder, signature.args[0], args[0])
        size = context.get_abi_sizeof(context.get_data_type(array.dtype))
        size = context.get_constant(types.intp, size)
        out = context.make_array(view)(context, builder)
        start = builder.gep(data, [builder.add(builder.mul(args[1], length), args[2])])
        populate_array(out, start, [args[3]], [size], size, meminfo=None)
        return out._getvalue()

    return view(array, types.intp, types.intp, types.intp), codegen


@intrinsic
def product(
    typing: Any, tiles: Any, a: Any, a_row: Any, a_column: Any, rows: Any, K: Any, packed: Any,
    c: Any, c_row: Any, c_column: Any, N: Any, add: Any, steps: Any, a_step: Any,
) -> Any:  # fmt: skip
    """``c[c_row + s * rows + i, c_column + j] (+)= sum_k a[a_row + s * a_step + i, a_column + k] *
    W[k, j]``, W being what was packed, for i < rows, j < N, s < steps."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tiles, a, a_row, a_column, rows, K, packed, c, c_row, c_column, N, add, steps, a_step = args

        def place(kind: Any, array: Any, row: Any, column: Any) -> tuple[Any, Any]:
            data, length = whole(context, builder, kind, array)
            at = builder.gep(data, [builder.add(builder.mul(row, length), column)])
            return builder.ptrtoint(at, INT), length

        a, a_length = place(signature.args[1], a, a_row, a_column)
        c, c_length = place(signature.args[7], c, c_row, c_column)
        weights = context.make_array(signature.args[6])(context, builder, packed).data
        numbers = [
            *(a, a_length, INT(1), rows, K, builder.ptrtoint(weights, INT), c, c_length, N, add),
            *(steps, builder.mul(a_step, a_length)),
        ]
        call_address(builder, tiles, numbers)
        return context.get_dummy_value()

    ints = [types.int64] * 4
    return types.void(types.int64, a, *ints, packed, c, *ints[1:], *ints[1:]), codegen


def call_address(builder: Any, function: Any, numbers: list[Any]) -> None:
    """Calls a function of integers at an address."""
    kind = ir.FunctionType(ir.VoidType(), [INT] * len(numbers))
    builder.call(builder.inttoptr(function, kind.as_pointer()), numbers)


@intrinsic
def call(typing: Any, function: Any, numbers: Any) -> Any:
    """Calls a function of integers at an address with a tuple of them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        call_address(builder, args[0], unpack_tuple(builder, args[1]))
        return context.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, len(numbers))), codegen


@intrinsic
def copy(typing: Any, target: Any, source: Any, size: Any) -> Any:
    """Copies bytes from address to address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(place, pointer) for place in args[:2])
        raw_memcpy(builder, target, source, args[2], 1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen


@intrinsic
def clear(typing: Any, target: Any, size: Any) -> Any:
    """Sets bytes at an address to 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        memset(builder, builder.inttoptr(args[0], ir.IntType(8).as_pointer()), args[1], 0)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 2), codegen


def view_word(dtype: Any) -> Any:
    """The word ``view(address, n)``: n numbers at an address as a bare array."""
    kind = types.Array(from_dtype(dtype), 1, "C")

    @intrinsic
    def view(typing: Any, address: Any, n: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            element = context.get_data_type(kind.dtype)
            size = context.get_constant(types.intp, context.get_abi_sizeof(element))
            out = context.make_array(kind)(context, builder)
            data = builder.inttoptr(args[0], element.as_pointer())
            populate_array(out, data, [args[1]], [size], size, meminfo=None)
            return out._getvalue()

        return kind(types.int64, types.int64), codegen

    return view


def transpose_word(dtype: Any, lanes: int) -> Any:
    """The word ``transpose(source, source_row, target, target_row)`` for a square of `lanes`.

    Addresses and strides in bytes.  In step d = 1, 2, 4, ... rows i and i + d trade the entries
    whose column says that they belong into the other one.
    """
    number = ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()
    vector = ir.VectorType(number, lanes)

    @intrinsic
    def transpose(typing: Any, source: Any, source_row: Any, target: Any, target_row: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, source_row, target, target_row = args

            def place(start: Any, i: int, row: Any) -> Any:
                at = builder.add(start, builder.mul(row, INT(i)))
                return builder.inttoptr(at, vector.as_pointer())

            def trade(x: Any, z: Any, first: list[int]) -> Any:
                mask = ir.VectorType(ir.IntType(32), lanes)(first)
                return builder.shuffle_vector(x, z, mask)

            rows = []
            for i in range(lanes):
                rows.append(builder.load(place(source, i, source_row)))
                rows[-1].align = dtype.itemsize
            for d in (1 << bit for bit in range(lanes.bit_length() - 1)):
                upper = [lanes + j - d if j & d else j for j in range(lanes)]
                lower = [lanes + j if j & d else j + d for j in range(lanes)]
                for i in (i for i in range(lanes) if not i & d):
                    x, z = rows[i], rows[i + d]
                    rows[i], rows[i + d] = trade(x, z, upper), trade(x, z, lower)
            for i, row in enumerate(rows):
                builder.store(row, place(target, i, target_row)).align = dtype.itemsize
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), codegen

    return transpose


@intrinsic
def where(typing: Any, condition: Any, x: Any, z: Any) -> Any:
    """x or z, both computed: a loop with it has no branch, so it vectorises."""
    floats = [kind for kind in (x, z) if isinstance(kind, types.Float)]
    kind = typing.unify_types(*(floats or (x, z)))  # a plain 0 does not widen

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return kind(types.boolean, kind, kind), codegen


def extreme_word(name: str) -> Any:
    """The word for LLVM's ``maximum`` or ``minimum``, which lets NaN through.

    LLVM knows that their order does not matter, so the largest of a row is found with vectors.
    """

    @intrinsic
    def extreme(typing: Any, x: Any, z: Any) -> Any:
        floats = [kind for kind in (x, z) if isinstance(kind, types.Float)]
        kind = typing.unify_types(*floats)  # a plain 0 does not widen

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            number = context.get_value_type(kind)
            bits = 32 if kind == types.float32 else 64
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(number, [number] * 2), f"llvm.{name}.f{bits}"
            )
            return builder.call(function, args)

        return kind(kind, kind), codegen

    return extreme


maximum, minimum = extreme_word("maximum"), extreme_word("minimum")


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
