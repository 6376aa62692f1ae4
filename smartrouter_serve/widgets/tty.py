"""Whether someone looks at a stream."""

from __future__ import annotations

import os
from typing import Any


def on_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal that can do more than print; a closed one is None."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def colorless() -> bool:
    """Whether the person wants neither colours nor weights (no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))
