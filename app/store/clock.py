"""The clock of event stores."""

from __future__ import annotations

import time


def now() -> int:
    """Returns the time in microseconds since 1970 (UTC)."""
    return time.time_ns() // 1000
