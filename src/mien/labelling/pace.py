"""How fast people may join: a class at once, but not thousands of invented names."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mien.web.refusals import Refused


@dataclass(frozen=True)
class Allowance:
    """So many at once, and one more every so many seconds.

    Attributes:
        at_once: How many, after a pause.
        every_s: Seconds until there is another one.
    """

    at_once: int
    every_s: float


# A class of forty behind one address joins at once, with its slips; who invents names gets 600 an hour.
FROM_ONE = Allowance(60, 6.0)
FROM_ALL = Allowance(300, 1.0)


class JoinPace:
    """Counts what joins, from each address and in all. The page of whoever is too early asks again by itself.

    Args:
        from_one: For each address; of IPv6 for each network of 64 bits, which is what one person has.
        from_all: For all together.
        clock: Seconds.
    """

    def __init__(
        self,
        from_one: Allowance = FROM_ONE,
        from_all: Allowance = FROM_ALL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.from_one, self.from_all, self.clock = from_one, from_all, clock
        self._lock = threading.Lock()
        # When all that was taken will be there again; who has everything is not kept.
        self._whole_again: dict[str, float] = {}
        self._all_again = -math.inf

    def take(self, address: str) -> None:
        """Count one.

        Args:
            address: Who asks.

        Raises:
            Refused: If they must wait (429).
        """
        now, key = self.clock(), network_of(address)
        with self._lock:
            self._whole_again = {k: at for k, at in self._whole_again.items() if at > now}
            one = max(now, self._whole_again.get(key, now)) + self.from_one.every_s
            of_all = max(now, self._all_again) + self.from_all.every_s
            early = max(
                one - now - self.from_one.at_once * self.from_one.every_s,
                of_all - now - self.from_all.at_once * self.from_all.every_s,
            )
            if early > 1e-9:
                words = "Many people are joining just now. This page tries again by itself."
                raise Refused(429, words, retry_s=math.ceil(early))
            self._whole_again[key], self._all_again = one, of_all

    def give_back(self, address: str) -> None:
        """Not to count the last one: somebody who had joined before asked again."""
        key = network_of(address)
        with self._lock:
            if key in self._whole_again:
                self._whole_again[key] -= self.from_one.every_s
                self._all_again -= self.from_all.every_s


def network_of(address: str) -> str:
    """What one person can change at will: the last 64 bits of an address of IPv6.

    >>> network_of("2001:db8:0:1::7"), network_of("::ffff:192.0.2.1"), network_of("192.0.2.1")
    ('2001:db8:0:1::', '192.0.2.1', '192.0.2.1')
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(found) >> 64 << 64))
