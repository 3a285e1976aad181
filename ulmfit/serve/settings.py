"""What a service takes from its clients, and how long it waits for them."""

from __future__ import annotations

from pydantic import Field

from ulmfit.pipeline.settings import Settings


class ServeSettings(Settings):
    """The limits of a service; a request beyond one is refused before any work is done for it."""

    largest_body: int = Field(1_000_000, ge=1, description="bytes of a request's body, at most")
    most_texts: int = Field(256, ge=1, description="texts per request, at most")
    longest_text: int = Field(10_000, ge=1, description="characters per text, at most")
    most_explained: int = Field(
        100_000,
        ge=1,
        description="tokens that an explanation may have each model read; it grows with the square of the "
        "text: 100,000 are about 300 tokens",
    )
    most_waiting: int = Field(
        1_024,
        ge=1,
        description="texts that may wait; a request that finds no room is answered with 429 and Retry-After",
    )
    most_requests: int = Field(
        512, ge=1, description="requests at once, those included whose body is still arriving; then 429"
    )
    most_batched: int = Field(256, ge=1, description="texts of waiting requests that are computed together")
    body_seconds: float = Field(30.0, gt=0, description="seconds in which a body has to arrive; then 408")
    stop_seconds: int = Field(
        60, ge=1, description="seconds that accepted requests have at the end, after SIGTERM"
    )
