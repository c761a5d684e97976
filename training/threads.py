"""Independent blocks of numpy work on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits


def in_threads(work: Callable[[int], None], starts: Iterable[int]) -> None:
    """Does independent blocks of numpy work on all cores; one BLAS thread in each."""
    with threadpool_limits(limits=1, user_api="blas"):
        Parallel(n_jobs=-1, prefer="threads")(delayed(work)(start) for start in starts)
