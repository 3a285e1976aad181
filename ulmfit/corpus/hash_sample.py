"""An unbiased sample of bounded size, taken in one pass over any number of items."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from ulmfit.corpus.sampling import salted_hash

Item = TypeVar("Item")


class HashSample(Generic[Item]):
    """The items whose names have the smallest hashes, until their sizes reach `limit`.

    The last one may exceed the limit. What is chosen depends on the names, which should be distinct, and not
    on the order of the items. Memory holds the sample and one more item.
    """

    def __init__(self, salt: str, limit: int) -> None:
        self._salt = salt
        self._limit = limit
        self._heap: list[tuple[int, int, int, Item]] = []
        self._offered = 0
        self._size = 0

    def offer(self, name: str, item: Item, size: int = 1) -> None:
        """Add an item to the candidates."""
        self._offered += 1
        heapq.heappush(self._heap, (-salted_hash(self._salt, name), -self._offered, size, item))
        self._size += size
        while self._heap and self._size - self._heap[0][2] >= self._limit:
            self._size -= heapq.heappop(self._heap)[2]

    def items(self) -> list[Item]:
        """Return the sample in the order of the hashes; the beginning of it is a smaller sample."""
        return [item for _, _, _, item in sorted(self._heap, reverse=True)]
