"""What a server answers who asks for what cannot be."""

from __future__ import annotations


class Refused(Exception):
    """A request that cannot be granted; the message is a sentence for the page.

    Args:
        status: The HTTP status: 400, 401, 403, 404, 409, 422 or 429.
        detail: What was wrong, and what to do.
        reload: Whether the page shows another task than the server has, and must be loaded again.
        retry_s: Seconds after which the same may be asked again.
    """

    def __init__(self, status: int, detail: str, *, reload: bool = False, retry_s: int | None = None) -> None:
        self.status = status
        self.detail = detail
        self.reload = reload
        self.retry_s = retry_s
        super().__init__(status, detail)

    def __str__(self) -> str:
        return self.detail
