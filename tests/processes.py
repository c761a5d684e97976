"""Processes of this machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Returns the ids of the processes that a process has started."""
    # Not by /proc/PID/task/PID/children, which misses some while others end.
    children = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            # After the name, which may hold anything: the state, and then the parent.
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                children.append(int(process.name))
    return children
