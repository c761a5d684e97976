"""Independent blocks of numpy work on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits


def in_threads(work: Callable[[int], None], starts: Iterable[int]) -> None:
    """Runs independent blocks of numpy work on all cores, with one BLAS thread in each.

    Args:
        work: called with the start of each block.
        starts: the starts of the blocks.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        Parallel(n_jobs=-1, prefer="threads")(delayed(work)(start) for start in starts)
