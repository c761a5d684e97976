"""One client's connection: uvicorn's HTTP/1.1 protocol with bounds of size and time.

What a request that comes whole costs here is a few comparisons: sizes are only counted where a
message comes in pieces, and times are only looked at by the sweep over all connections.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.http.documentation import ASSETS
from app.server.caching import cacheable
from app.server.connections import Connections, Room
from app.server.expecting import closing_unless_continued
from app.server.flow import Flow
from app.server.heads import contradiction, excess, length_of, size_of, without_upgrade
from app.server.limits import FRAMING_BYTES, LONG_FRAMING, late, linger_bytes
from app.server.patience import Patience, Phase
from app.server.refusals import refusal

# Bytes parsed at once, but for bodies of known length. The next ones wait until these are answered.
_PIECE: Final = 1024
# A request that comes whole may have so many without being counted.
_SHORT: Final = 2048
# Answered even where all places are taken: those who run the service look at these.
_ALWAYS_ANSWERED: Final = frozenset({b"/health/live", b"/health/ready", b"/metrics"})
_RESET: Final = struct.pack("ii", 1, 0)
_IDLE: Final = frozenset({Phase.SILENT, Phase.IDLE})
_NO_HTTP: Final = "this is no HTTP/1.1 request; ids in a path or query are percent-encoded"


class _Refused(Exception):
    """A request has been refused while it was parsed."""


class Connection(HttpToolsProtocol):
    """One connection of a client.

    Args:
        config: uvicorn's settings.
        server_state: all connections of the process.
        app_state: what the application's lifespan has left for requests.
        loop: the event loop.
    """

    server_state: Connections
    flow: Flow

    def __init__(
        self,
        config: Config,
        server_state: Connections,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = server_state.limits
        self._room = Room.FREE
        # Bytes that come next need more than a look: a message is incomplete, or none is wanted.
        self._is_partial = False
        self._is_ending = False
        self._is_closing_after_answer = False
        self._held = b""
        self._answered: RequestResponseCycle | None = None
        # Of an incomplete head, a lower bound; of an incomplete body with and without chunk sizes,
        # extensions and trailers, and since the last byte of content; of what nobody reads.
        self._head_bytes = self._wire_bytes = self._body_bytes = 0
        self._bytes_without_body = self._discarded_bytes = 0
        self._patience = Patience(self._limits, self.loop.time())

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self._room = self.server_state.admit(self.loop)
        if self._room is Room.NONE:
            self._answer(503, self.server_state.full)
            transport.close()
        self._is_closing_after_answer = self._room is Room.RESERVED or self.server_state.is_ending

    def data_received(self, data: bytes) -> None:
        """Parses what has come."""
        cycle = self.cycle
        if self._is_partial or len(data) > _SHORT or not (cycle is None or cycle.response_complete):
            self._receive_in_pieces(data)
            return
        if self._feed(data):
            cycle = self.cycle
            self._is_partial = cycle is None or cycle.more_body or cycle.scope is not self.scope

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends."""
        self._leave_requests()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Goes on until the request is answered: the client may have closed its side only."""
        cycle = self.cycle
        if self._is_ending or cycle is None or cycle.response_complete:
            return False
        if cycle.more_body:
            self._refuse(400, "the connection ended before the body did; send all of it")
            self.transport.close()
        else:
            cycle.keep_alive = False
        return True

    # What the parser calls

    def on_headers_complete(self) -> None:
        """Begins with a request, unless it is refused."""
        if self.parser.should_upgrade():
            return  # the parser says so as well, when it is through
        if self._head_bytes:  # one that comes in a single piece is short
            self._head_bytes = 0
            self._check(excess(self.url, size_of(self.url, self.headers)))
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1 or b"transfer-encoding" in names:
            self._check(contradiction(self.headers, self.parser.get_http_version()))
        if self._room is Room.RESERVED and self.url.partition(b"?")[0] not in _ALWAYS_ANSWERED:
            self._check((503, self.server_state.full))
        super().on_headers_complete()
        # Trailers would join the headers of a request that is being answered.
        self.headers = []
        if self._is_closing_after_answer:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Hands over a part of the body."""
        cycle = self.cycle
        self._body_bytes += len(body)
        self._bytes_without_body = 0
        if cycle.response_complete:
            self._discard(len(body))
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Ends the body, if there was one."""
        if self.parser.should_upgrade():
            return
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._wire_bytes = self._body_bytes = self._bytes_without_body = self._discarded_bytes = 0

    # What a request calls

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        if cycle.scope["path"].startswith(ASSETS):
            cycle.default_headers = cacheable(cycle.default_headers)
        if cycle.waiting_for_100_continue:
            app = closing_unless_continued(app, cycle)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Goes on with the next request; how long none comes is a matter of the sweep."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self._held and not self._is_busy():
            data, self._held = self._held, b""
            self._receive_in_pieces(data)
            self.flow.is_holding = bool(self._held)
        self.flow.resume_reading()

    # What the server calls

    def shutdown(self) -> None:
        """Makes the next answer the last one."""
        self._is_closing_after_answer = True
        cycle = self.cycle
        if not (cycle is None or cycle.response_started):
            cycle.keep_alive = False

    def close_if_idle(self) -> None:
        """Closes it unless it has a request."""
        if self._look() in _IDLE:
            self.transport.close()

    def give_up(self) -> None:
        """Answers with a problem whatever has no answer yet, and closes."""
        cycle = self.cycle
        if self._look() in {Phase.HEAD, Phase.BODY, Phase.WORKING} and not (
            self._has_request() and cycle.response_started
        ):
            self._leave_requests()
            self._answer(503, "the service is ending; send the request again to the next one")
            self.transport.close()
        else:
            self._leave_requests()
            self.transport.abort()

    def check(self, now: float) -> None:
        """Ends it when it has taken longer than it may.

        Args:
            now: the time of the event loop, in seconds.
        """
        phase, level = self._look(), 0
        if phase is Phase.BODY:
            level = self._body_bytes
        elif phase is Phase.SENDING:
            level = -self.transport.get_write_buffer_size()
        if self._patience.is_over(phase, self.scope, level, now):
            self._time_out(phase)

    @property
    def idle_since(self) -> float | None:
        """When it was first seen to wait for a request, as the loop's time; None if it does not."""
        phase = self._look()
        return self._patience.since(phase, self.scope) if phase in _IDLE else None

    def _look(self) -> Phase:
        cycle = self.cycle
        if self._is_ending:
            return Phase.ENDING
        if self.transport.get_write_buffer_size():
            return Phase.SENDING
        if cycle is None or cycle.response_complete:
            if cycle is not None and cycle.more_body:
                return Phase.DISCARDING
            if self._is_in_head():
                return Phase.HEAD
            return Phase.SILENT if cycle is None else Phase.IDLE
        return Phase.BODY if cycle.more_body and not self.flow.read_paused else Phase.WORKING

    def _time_out(self, phase: Phase) -> None:
        if phase is Phase.HEAD:
            self._refuse(408, late("head", "ENCORE_HEAD_SECONDS", self._limits.head))
        elif phase is Phase.BODY:
            self._refuse(408, late("body", "ENCORE_BODY_SECONDS", self._limits.body))
        elif phase is Phase.SENDING:
            # Reset: else the kernel goes on with megabytes that the client does not take.
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
        elif phase is Phase.ENDING:
            self.transport.abort()
        else:
            self.transport.close()

    # Parsing

    def _feed(self, data: bytes | memoryview) -> bool:
        """Parses some bytes; returns whether more may follow."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            return self._ignore_upgrade(memoryview(data)[offer.args[0] :])
        except httptools.HttpParserError as error:
            if not isinstance(error.__context__, _Refused):
                self._refuse(400, _NO_HTTP)
            return False
        return True

    def _receive_in_pieces(self, data: bytes) -> None:
        if self._is_ending:
            self._discard(len(data))
            return
        view = memoryview(data)
        while view:
            if self._is_busy():
                # Those that follow are parsed when these are answered; nothing more is read.
                self._held += bytes(view)
                self.flow.is_holding = True
                self.flow.pause_reading()
                return
            piece = view[: self._missing_body() or _PIECE]
            if not self._feed_counting(piece):
                return
            view = view[len(piece) :]
        cycle = self.cycle
        self._is_partial = self._is_in_head() or (cycle is not None and cycle.more_body)

    def _feed_counting(self, piece: memoryview) -> bool:
        """Parses a piece and counts it, as a part of a head or of a body that were incomplete."""
        scope, is_head = self.scope, self._is_in_head()
        is_body = not is_head and self.cycle is not None and self.cycle.more_body
        if is_head:
            self._head_bytes += len(piece)
        self._bytes_without_body += len(piece)
        if not self._feed(piece):
            return False
        if self._is_in_head():
            if self.scope is not scope:
                self._head_bytes = 0
            elif wrong := excess(self.url, self._head_bytes):
                self._refuse(*wrong)
                return False
        elif is_body and self.scope is scope and self.cycle.more_body:
            self._wire_bytes += len(piece)
            framing = max(self._bytes_without_body, self._wire_bytes - 2 * self._body_bytes)
            if framing > FRAMING_BYTES:
                self._refuse(431, LONG_FRAMING)
                return False
        return True

    def _is_in_head(self) -> bool:
        scope, cycle = self.scope, self.cycle
        return scope is not None and (cycle is None or cycle.scope is not scope)

    def _missing_body(self) -> int:
        """Returns how many bytes of a body are missing; 0 where its head does not say so."""
        if self._is_in_head() or self.cycle is None or not self.cycle.more_body:
            return 0
        return max(0, length_of(self.cycle.scope["headers"]) - self._body_bytes)

    def _has_request(self) -> bool:
        """Returns whether a request is being read or answered."""
        return not (self.cycle is None or self.cycle.response_complete)

    def _is_busy(self) -> bool:
        """Returns whether a whole request is being answered."""
        return bool(self.pipeline) or (self._has_request() and not self.cycle.more_body)

    def _check(self, wrong: tuple[int, str] | None) -> None:
        if wrong:
            self._refuse(*wrong)
            raise _Refused

    def _ignore_upgrade(self, rest: memoryview) -> bool:
        """Reads a request as if it offered no other protocol: its body and what follows as well."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(400, "CONNECT is for proxies, and this is none")
            return False
        head = without_upgrade(method, self.url, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return self._feed(head) and self._feed(rest)

    # Refusing

    def _refuse(self, status: int, detail: str) -> None:
        """Answers with a problem and reads no more requests.

        Answers to requests that came before go out first, and the problem is left out then.
        """
        cycle = self.cycle
        if self._is_busy() and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.is_holding = True
            self.flow.pause_reading()
            return
        if cycle is not None and cycle.more_body and (cycle.response_started or self.pipeline):
            self._leave_requests()
            self.transport.close()
            return
        self._leave_requests()
        self._answer(status, detail)
        self._is_ending = self._is_partial = True
        self.flow.is_holding = False
        self.flow.resume_reading()
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def _answer(self, status: int, detail: str) -> None:
        begun = self.scope is not None
        self.transport.write(
            refusal(
                status,
                detail,
                target=self.url if begun else b"",
                headers=self.server_state.default_headers,
                with_body=not (begun and self.parser.get_method() == b"HEAD"),
            )
        )

    def _leave_requests(self) -> None:
        """Tells the application that nobody waits any more."""
        self.pipeline.clear()
        # The newest one may not be the one that is being answered.
        for cycle in (self._answered, self.cycle):
            if not (cycle is None or cycle.response_complete):
                cycle.disconnected = True
                cycle.message_event.set()

    def _discard(self, count: int) -> None:
        self._discarded_bytes += count
        if self._discarded_bytes > linger_bytes(is_refused=self._is_ending):
            self.transport.abort()
            return
        self.flow.breathe(self.loop)
