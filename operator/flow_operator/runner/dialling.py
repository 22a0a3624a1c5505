"""Whether a Dask scheduler is heard at an address, asked often and in vain for a while."""

from __future__ import annotations

import contextlib
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.1
GREETING_TIMEOUT = 2.0  # of one try
HEADER, MAX_GREETING = 8, 2**20  # bytes


def answers(address: str, timeout: float, hopeless: Callable[[], bool] = lambda: False) -> bool:
    """Whether a scheduler is heard in time. distributed's own retries back off to many seconds."""
    from distributed.comm import get_address_host_port, parse_address

    host, port = get_address_host_port(address)
    greets = parse_address(address)[0] == "tcp"  # over TLS it could not be read
    end = time.monotonic() + timeout
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host, port), timeout=GREETING_TIMEOUT) as connection,
        ):
            if not greets or _is_greeting(connection):
                return True
        if hopeless() or time.monotonic() > end:
            return False
        time.sleep(POLL)


def _is_greeting(connection: socket.socket) -> bool:
    """Whether the other side is a Dask server: it sends its handshake unasked, a small length first.

    Until kube-proxy knows a Service, its address may lead to a stranger: a gateway that answers in HTTP, whose text
    distributed reads as a length of gigabytes (a MemoryError was seen), or one that says nothing.
    """
    header = b""
    while len(header) < HEADER:
        piece = connection.recv(HEADER - len(header))
        if not piece:
            return False
        header += piece
    return int.from_bytes(header, "little") < MAX_GREETING
