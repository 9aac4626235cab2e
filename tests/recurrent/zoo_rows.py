"""A cell for each row of the table, and for what is composed of rows."""

import tinygrad_rnn as tg
from tests.recurrent.zoo import Kind, glued
from tinygrad_rnn.nn import functional as F

ROWS = {}


def elementwise(name, f):
    def step(p, x, h):
        h = tg.tanh(f(h @ p.W + F.linear(x, p.V)))
        return h, h

    ROWS[name] = Kind(step, "H", {"W": "H, H", "V": "H, I"})


for name, f in {
    "abs": lambda z: z.abs(),
    "clamp": lambda z: z.clamp(-0.3, 0.5),
    "clamp from below": lambda z: z.clamp(min=0.1),
    "comparisons": lambda z: tg.where((z > 0.2) | (z < -0.5) & ~(z == 0), z, z * z),
    "not equal and at least": lambda z: tg.where((z != 0.2) & (z >= -0.5), z, 0.0),
    "cos": lambda z: z.cos(),
    "division": lambda z: 1 / (2 + z * z),
    "elu": lambda z: F.elu(z, 0.7),
    "exp and log": lambda z: (z.exp() + 1).log(),
    "expm1 and log1p": lambda z: (z.expm1().abs()).log1p(),
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
    "masked_fill": lambda z: z.masked_fill(z < 0, 0.25),
    "maximum and minimum": lambda z: tg.maximum(z, 0.1 * z).minimum(z * z),
    "maximum of equals": lambda z: tg.maximum(tg.relu(z), tg.relu(-z) * 0),
    "pow of a number": lambda z: (z.abs() + 0.1) ** 1.7,
    "square and cube and fourth": lambda z: z**2 - z**3 + z**4,
    "pow to nothing and below": lambda z: z**0 + (2 + z * z) ** -1 + (1 + z * z) ** 0.5,
    "pow of a tensor": lambda z: (z.abs() + 0.1) ** z,
    "a number to the power": lambda z: 2.0**z,
    "relu": lambda z: tg.relu(z),
    "rsqrt and sqrt": lambda z: (z * z + 1).rsqrt() + (z * z + 1).sqrt(),
    "reciprocal": lambda z: (2 + z * z).reciprocal(),
    "sign": lambda z: z * z.sign() + z.detach(),
    "silu": lambda z: F.silu(z),
    "softplus": lambda z: F.softplus(z, beta=2.0),
    "subtraction from numbers": lambda z: 1 - z - 2 + -z,
    "mean": lambda z: z - z.mean(-1, keepdim=True),
    "var and std": lambda z: z / (z.std(-1, keepdim=True) + z.var(-1, keepdim=True)),
    "std of equals": lambda z: z + (z * 0 + 1).std(-1, keepdim=True),
    "norm": lambda z: z / ((z * z).sum(-1, keepdim=True) + 1e-6).sqrt(),
    "softmax": lambda z: z.softmax(-1) * 2,
    "log_softmax": lambda z: z.log_softmax(-1),
    "logsumexp": lambda z: z - z.logsumexp(-1, keepdim=True),
    "softmax of parts": lambda z: z.reshape(z.shape[0], 2, -1).softmax(-1).flatten(1),
    "softmax over pieces": lambda z: z.reshape(z.shape[0], 2, -1).softmax(1).flatten(1),
    "logsumexp over pieces": lambda z: glued(*[z.reshape(z.shape[0], 2, -1).logsumexp(1)] * 2),
    "largest and smallest": lambda z: z * z.amax(-1, keepdim=True) - z.amin(-1, keepdim=True),
    "largest among equals": lambda z: z + tg.relu(z).amax(-1, keepdim=True) + (0 * z).amin(1, True),
    "sum of all columns": lambda z: z - z.reshape(z.shape[0], 2, -1).sum((1, 2))[:, None],
    "sums of pieces": lambda z: glued(*[z.reshape(z.shape[0], 2, -1).sum(1)] * 2),
    "sums of neighbours": lambda z: glued(*[z.reshape(z.shape[0], -1, 2).sum(-1)] * 2),
    "slices": lambda z: glued(z[:, 2:], z[:, :2] * z[:, 1:2]),
    "every other column": lambda z: glued(z[:, ::2], z[:, 1::2] * 2),
    "columns by number": lambda z: glued(z[:, [0, 0, 2]], z[:, 3:]) + z[:, 1][:, None],
    "rolled": lambda z: glued(z[:, -1:], z[:, :-1]),
    "flip": lambda z: z.flip(1) + z,
    "pad": lambda z: F.pad(z[:, 1:-1], (1, 1), value=0.5),
    "stack and unbind": lambda z: tg.stack([2 * a for a in z.chunk(2, 1)], 1).flatten(1),
    "unbind": lambda z: glued(*[a * a for a in z.reshape(z.shape[0], 2, -1).unbind(1)]),
    "transposed pieces": lambda z: z.reshape(z.shape[0], 2, -1).transpose(1, 2).flatten(1),
    "outer product": lambda z: (z[:, :2, None] * z[:, None, :2]).flatten(1).sum(-1, True) * z,
    "cumsum": lambda z: z.cumsum(-1) * 0.3,
    "cumsum of pieces": lambda z: z.reshape(z.shape[0], 2, -1).cumsum(1).flatten(1),
    "prod": lambda z: z * z[:, :3].prod(-1, keepdim=True),
    "max with values": lambda z: z - z.max(-1, keepdim=True).values,
    "gather of the largest": lambda z: z - z.gather(1, z.argmax(-1, keepdim=True)),
    "to the same dtype": lambda z: z.to(z.dtype).clone(),
    "any and all": lambda z: tg.where((z > 0.9).any(-1, keepdim=True), z, 2 * z),
    "squares of one column": lambda z: z * z[:, :1] ** 2 + z[:, :1].sum(-1, keepdim=True),
}.items():
    elementwise(name, f)
