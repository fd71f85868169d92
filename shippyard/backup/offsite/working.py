"""Owns doing the same to many parts, a few at a time: memory and requests stay bounded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 4
"""Parts under way; each takes up to two of `backup.offsite.part_bytes` in memory."""

Job = TypeVar("Job")
Done = TypeVar("Done")


def each(work: Callable[[Job], Done], jobs: Iterable[Job]) -> Iterator[Done]:
    """What `work` gives for every job, in order. The first error ends it; what runs is awaited.

    Jobs are taken one by one, and only when there is room for one more.
    """
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="offsite") as pool:
        under_way: deque[Future[Done]] = deque()
        try:
            for job in jobs:
                under_way.append(pool.submit(work, job))
                if len(under_way) > AT_ONCE:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
