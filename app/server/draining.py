"""Ends a server without losing a request: what has come is answered, what comes later refused."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import select
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import uvicorn

from app.server.connections import Connections
from app.server.limits import Limits

_LOOK_SECONDS: Final = 0.05
# For connections that are being opened; the parent of several workers may notice a signal later
# than they do.
_SETTLE_SECONDS: Final = 0.2
_PARENT_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 3.0
# A request may be under way on an idle connection. Busier ones have their last answer by then.
_IDLE_SECONDS: Final = 1.0
_LEAVE_SECONDS: Final = 0.5
# asm-generic/socket.h; the module socket does not name it.
_SO_ATTACH_FILTER: Final = 26
# The flags are byte 13 of a TCP head: a segment with SYN (0x02) is dropped, others pass.
_WITHOUT_SYN: Final = (
    (0x30, 0, 0, 13),  # load a byte
    (0x45, 0, 1, 0x02),  # skip one unless the bit is set
    (0x06, 0, 0, 0),  # pass no byte
    (0x06, 0, 0, 0xFFFFFFFF),  # pass all
)
_LARGEST_FILTER: Final = 1024

_log = logging.getLogger(__name__)


class ServiceConfig(uvicorn.Config):
    """Uvicorn's configuration, with the limits of connections.

    Args:
        options: those of uvicorn.
        limits: those of connections.
    """

    def __init__(self, *args: object, limits: Limits, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.limits = limits


class Server(uvicorn.Server):
    """One process that serves.

    Args:
        config: its configuration.
    """

    server_state: Connections

    def __init__(self, config: ServiceConfig) -> None:
        super().__init__(config)
        self.server_state = Connections(config.limits)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers what has come, each with ``Connection: close``, and ends."""
        state, loop = self.server_state, asyncio.get_running_loop()
        listeners = sockets or []
        end = loop.time() + (self.config.timeout_graceful_shutdown or 0)
        if _is_alone():  # else the parent does that for all workers
            for listener in listeners:
                refuse_new_connections(listener)
        state.is_ending = True
        for connection in state.all():
            connection.shutdown()
        idle_end = loop.time() + _IDLE_SECONDS
        await self._accept_the_rest(listeners)
        while state.connections and not self.force_exit and loop.time() < end:
            if loop.time() > idle_end:
                for connection in state.all():
                    connection.close_if_idle()
            await asyncio.sleep(_LOOK_SECONDS)
        await self._give_up()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _accept_the_rest(self, listeners: Sequence[socket.socket]) -> None:
        """Accepts what the kernel has accepted: it resets those when the last listener closes."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not self.force_exit and (waited := loop.time() - begin) < _LONGEST_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            has_parent_noticed = _is_alone() or all(map(refuses_new_connections, listeners))
            is_settled = waited > (_SETTLE_SECONDS if has_parent_noticed else _PARENT_SECONDS)
            if is_settled and not _is_readable(listeners):
                break
        for server in self.servers:
            server.close()
        for listener in listeners:
            listener.close()

    async def _give_up(self) -> None:
        """Refuses the requests that are not answered in time, and ends their tasks."""
        state = self.server_state
        if state.connections:
            _log.warning("%d connections are closed before their end", len(state.connections))
        for connection in state.all():
            connection.give_up()
        for _ in range(int(_LEAVE_SECONDS / _LOOK_SECONDS)):
            if self.force_exit or not (state.connections or state.tasks):
                return
            await asyncio.sleep(_LOOK_SECONDS)
        for connection in state.all():
            connection.transport.abort()
        for task in state.tasks:
            task.cancel()


def _is_alone() -> bool:
    """Says whether no supervisor holds the port; one that does needs it for the next worker."""
    return multiprocessing.parent_process() is None


def refuse_new_connections(listener: socket.socket) -> None:
    """Makes the kernel ignore clients that want to connect; those that wait can be accepted.

    A closed listener resets connections that nobody has accepted yet, and no call asks the kernel
    for no more of them. So a filter drops their first segment. A client sends it again after a
    second, to the next service on this port or to none, which refuses it. Systems other than Linux
    have no such filter; a connection of the last microseconds may be reset there.
    """
    if sys.platform != "linux" or listener.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in _WITHOUT_SYN))
    program = struct.pack("HP", len(_WITHOUT_SYN), ctypes.addressof(steps))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def refuses_new_connections(listener: socket.socket) -> bool:
    """Returns whether ``refuse_new_connections`` was called, in whichever process."""
    if sys.platform != "linux":
        return False
    with suppress(OSError):
        return bool(listener.getsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _LARGEST_FILTER))
    return False


def _is_readable(listeners: Iterable[socket.socket]) -> bool:
    poll = select.poll()
    for listener in listeners:
        poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
