"""Demos, one file each; ``python -m demos`` lists them."""

import sys
from pathlib import Path

# `python demos/NAME.py` finds _shared.py beside it; so does `python -m demos.NAME`, like this.
sys.path.insert(0, str(Path(__file__).parent))
