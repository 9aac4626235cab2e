"""What a fresh process does first, timed; nothing is imported before that a user has not.

python _first.py WHAT [ARGUMENT] prints one line of JSON, with seconds from the first line on.
"""

import sys
import time

START = time.perf_counter()


def imported(module: str) -> dict:
    """Importing one module."""
    __import__(module)
    return {"seconds": time.perf_counter() - START, "numba": "numba" in sys.modules}


def layer() -> dict:
    """Forward and backward of nn.LSTM(128, 128) at B = 50, T = 50."""
    import numpy as np

    import tinygrad_rnn as tg

    net = tg.nn.LSTM(128, 128)
    x = tg.from_numpy(np.ones((50, 50, 128), np.float32))
    net(x)[0].sum().backward()
    return {"seconds": time.perf_counter() - START}


def step(demo: str) -> dict:
    """The first training step of the main job, with its defaults and an alphabet of 100."""
    import os

    import numpy as np

    import tinygrad_rnn as tg

    sys.path.insert(0, os.path.dirname(demo))
    import char_lm

    model = char_lm.LanguageModel(map(chr, range(100)), "char", "lstm", 128, 2)
    optimizer = tg.optim.Adam(model.parameters(), lr=4e-3)
    ids = tg.from_numpy(np.arange(2500).reshape(50, 50) % 100)
    loss, _ = char_lm.loss_of(model, (ids, ids), None)
    optimizer.zero_grad()
    loss.backward()
    tg.nn.utils.clip_grad_norm_(model.parameters(), char_lm.CLIP)
    optimizer.step()
    return {"seconds": time.perf_counter() - START}


def compiling(T: str) -> dict:
    """What the first forward and backward at B = 8 takes longer than the fastest of five more."""
    import numba  # noqa: F401  (not counted)
    import numpy as np

    import tinygrad_rnn as tg

    net = tg.nn.LSTM(64, 64)
    x = tg.from_numpy(np.ones((int(T), 8, 64), np.float32))

    def once() -> float:
        start = time.perf_counter()
        net(x)[0].sum().backward()
        return time.perf_counter() - start

    first = once()
    return {"seconds": first - min(once() for _ in range(5))}


if __name__ == "__main__":
    answer = globals()[sys.argv[1]](*sys.argv[2:])
    import json

    print(json.dumps(answer))
