"""A log that programs can read: one JSON object a line."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def lines_of_json(path: str | Path | None) -> Iterator[Callable[..., None]]:
    """A function that writes its keywords at the end of the file; numbers JSON lacks are null."""
    if path is None:
        yield lambda **entry: None
        return

    def known(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    with Path(path).open("a", encoding="utf-8", buffering=1) as file:
        yield lambda **entry: print(json.dumps({k: known(v) for k, v in entry.items()}), file=file)
