"""Damages to bytes and constructs for texts, drawn by a generator of random numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Random = random.Random
DEPTH = 10_000
LONGEST_RANGE = 400


@dataclass(frozen=True)
class Mutant:
    """A damaged file: its name, its content, and the kinds of damage that it has."""

    name: str
    data: bytes
    kinds: tuple[str, ...]


def cut(data: bytes, rng: Random) -> bytes:
    """Return the beginning of `data`."""
    return data[: rng.randrange(len(data) + 1)]


def flip_bits(data: bytes, rng: Random) -> bytes:
    """Return `data` with up to twenty bits changed."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 20) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def remove_range(data: bytes, rng: Random) -> bytes:
    """Return `data` without some bytes in the middle."""
    start, end = _range(data, rng)
    return data[:start] + data[end:]


def repeat_range(data: bytes, rng: Random) -> bytes:
    """Return `data` with some of its bytes once or several times more."""
    start, end = _range(data, rng)
    return data[:end] + data[start:end] * rng.choice([1, 1, 2, 50]) + data[end:]


def swap_ranges(data: bytes, rng: Random) -> bytes:
    """Return `data` with two ranges in each other's place."""
    (a, b), (c, d) = sorted([_range(data, rng), _range(data, rng)])
    if b > c:
        return data[:a] + data[c:d] + data[a:c] + data[d:]
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def move_range(data: bytes, rng: Random) -> bytes:
    """Return `data` with some of its bytes at another place."""
    start, end = _range(data, rng)
    rest = data[:start] + data[end:]
    place = rng.randrange(len(rest) + 1)
    return rest[:place] + data[start:end] + rest[place:]


def insert_nul(data: bytes, rng: Random) -> bytes:
    """Return `data` with NUL bytes at some place."""
    return insert(data, bytes(rng.choice([1, 2, 3, 1000])), rng)


def insert_noise(data: bytes, rng: Random) -> bytes:
    """Return `data` with random bytes at some place."""
    return insert(data, rng.randbytes(rng.choice([1, 4, 300])), rng)


def insert(data: bytes, more: bytes, rng: Random) -> bytes:
    """Return `data` with `more` at some place."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + more + data[place:]


Damage = Callable[[bytes, Random], bytes]
DAMAGES: Sequence[Damage] = (
    cut,
    flip_bits,
    remove_range,
    repeat_range,
    swap_ranges,
    move_range,
    insert_nul,
    insert_noise,
)


def nested(pairs: Sequence[tuple[str, str]], rng: Random, inner: str = "x") -> str:
    """Return constructs in each other, 10,000 deep: closed, left open, or closed in another order."""
    some = rng.sample(list(pairs), rng.choice([1, 1, 2, min(3, len(pairs))]))
    rounds = DEPTH // len(some)
    opening = "".join(first for first, _ in some) * rounds
    closings = [last for _, last in (some if rng.random() < 0.2 else some[::-1])]
    return opening + inner + "".join(closings) * rng.choice([rounds, rounds, rounds - 1, 0, 2 * rounds])


def _range(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.randrange(1, LONGEST_RANGE))
