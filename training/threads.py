"""Independent blocks of numpy work on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from joblib import cpu_count
from threadpoolctl import threadpool_limits


def in_threads(work: Callable[[int], None], starts: Iterable[int]) -> None:
    """Runs independent blocks of numpy work on all cores, with one BLAS thread in each.

    All threads have ended when it returns or raises. A thread that still runs compiled code when
    the interpreter goes is unwound through that code, which aborts the process.

    Args:
        work: called with the start of each block. An exception of it, or Ctrl-C, waits for the
            blocks that are running, and leaves out the others.
        starts: the starts of the blocks.
    """
    with (
        threadpool_limits(limits=1, user_api="blas"),
        ThreadPoolExecutor(max_workers=cpu_count()) as threads,
    ):
        blocks = [threads.submit(work, start) for start in starts]
        try:
            wait(blocks, return_when=FIRST_EXCEPTION)
            for block in blocks:
                if block.done():
                    block.result()
        finally:
            threads.shutdown(cancel_futures=True)
