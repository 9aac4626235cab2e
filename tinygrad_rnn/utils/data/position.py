"""Where batches stand, as a state that only batches of the same form take."""

from collections.abc import Mapping
from typing import Any


def must_match(name: str, form: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raises: ValueError that names whatever a state has otherwise."""
    differ = [key for key, value in form.items() if key not in state or state[key] != value]
    if differ:
        theirs, ours = (
            ", ".join(f"{key}={one.get(key)}" for key in differ) for one in (state, form)
        )
        raise ValueError(f"{name}: the state is that of {theirs}, and this one has {ours}")
