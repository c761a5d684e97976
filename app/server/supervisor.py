"""The process above the workers: starts them, replaces those that die, and says why they died.

One worker is supervised as well: a file of the model that is truncated ends whoever has it mapped,
and the register of deaths has to outlive that.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import socket
import time
from multiprocessing import connection
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app.server.draining import Server, ServiceConfig, refuse_new_connections
from app.serving.deaths import SLOTS, DeathRegister, take_slot
from app.serving.leases import hear_signals

# The exit status of a service of which no worker could start.
FAILED: Final = STARTUP_FAILURE
_LOOK_SECONDS: Final = 0.5
# A worker that lives shorter than this is replaced after a pause, which doubles each time.
_SHORT_LIFE_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
# A new worker has to answer by then where it takes the place of one that works.
_START_SECONDS: Final = 60.0
# Beyond what a worker gives its requests in the end.
_END_SECONDS: Final = 5.0
_CAUSES: Final = {
    "SIGBUS": "a file that it had mapped became shorter or could not be read",
    "SIGSEGV": "a fault in compiled code",
    "SIGABRT": "a fault in compiled code",
    "SIGKILL": "somebody killed it, or the system, for want of memory",
    "SIGTERM": "somebody ended it",
    "hung": "it did not answer and was killed",
}

logger = logging.getLogger(__name__)


class Worker(Process):
    """One process that serves.

    Args:
        config: uvicorn's configuration.
        sockets: the open port.
        register: where the worker notes its model, and its death is recorded.
        slot: its slot there.
    """

    def __init__(
        self, config: Config, sockets: list[socket.socket], register: DeathRegister, slot: int
    ) -> None:
        self.register = register
        self.slot = slot
        self.born_at = time.monotonic()
        self.is_ready_seen = False
        self._asked_at: float | None = None
        super().__init__(config, sockets)

    @property
    def server(self) -> uvicorn.Server:
        """The server of this process."""
        if self._server is None:
            config = self.config
            self._server = (
                Server(config) if isinstance(config, ServiceConfig) else uvicorn.Server(config)
            )
        return self._server

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves; runs in the worker itself."""
        # A fault of the process is shown with the line of code that met it.
        faulthandler.enable(all_threads=False)
        take_slot(self.register, self.slot)
        hear_signals()
        super().target(sockets)

    def answers(self, seconds: float) -> bool:
        """Asks whether the worker lives, without waiting for its answer.

        Args:
            seconds: how long an answer may take.

        Returns:
            False once it has not answered for longer.
        """
        now = time.monotonic()
        try:
            if self._asked_at is None:
                self.parent_conn.send(b"ping")
                self._asked_at = now
            elif self.parent_conn.poll(0):
                self.is_ready_seen = bool(self.parent_conn.recv()) or self.is_ready_seen
                self._asked_at = None
            return self._asked_at is None or now - self._asked_at < seconds
        except (OSError, EOFError):
            return False  # it is ending

    def end_of_life(self) -> str:
        """Returns why it ended: the name of a signal, or ``exit``."""
        code = self.exitcode or 0
        return signal.Signals(-code).name if code < 0 else "exit"


class Supervisor(Multiprocess):
    """The parent of all workers.

    Args:
        config: uvicorn's configuration, with the number of workers.
        sockets: the open port.

    Attributes:
        has_failed: whether no worker could start, so that the service ended.
    """

    processes: list[Worker]  # type: ignore[assignment]

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.has_failed = False
        self._register = DeathRegister()
        self._n_started = 0
        self._has_served = False
        # By place: how long the last pause was, and when the next worker starts.
        self._pauses: dict[int, float] = {}
        self._due: dict[int, float] = {}
        self._woken, waker = socket.socketpair()
        self._waker = waker
        for end in (self._woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Serves until a signal ends it."""
        self.init_processes()
        while not self.should_exit.is_set():
            living = [one.process.sentinel for one in self.processes if one.exitcode is None]
            if self._woken in connection.wait([*living, self._woken], timeout=_LOOK_SECONDS):
                self._woken.recv(4096)
            self.handle_signals()
            self.keep_subprocess_alive()
        self.terminate_all()
        self.join_all()
        signal.set_wakeup_fd(-1)
        self._woken.close()
        self._waker.close()
        self._register.close()

    def init_processes(self) -> None:
        """Starts all workers."""
        self.processes += [self._start() for _ in range(self.processes_num)]

    def terminate_all(self) -> None:
        """Tells all workers to end, and leaves them the connections that wait for one."""
        for listener in self.sockets:
            refuse_new_connections(listener)
            listener.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have died or do not answer."""
        for place, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if place in self._due:
                if time.monotonic() >= self._due[place]:
                    del self._due[place]
                    self.processes[place] = self._start()
            elif worker.exitcode is not None:
                self._bury(place, worker, worker.end_of_life())
            elif not worker.answers(self.config.timeout_worker_healthcheck):
                worker.process.kill()
                worker.join()
                self._bury(place, worker, "hung" if worker.exitcode == -9 else worker.end_of_life())
            else:
                self._has_served = self._has_served or worker.is_ready_seen

    def _bury(self, place: int, worker: Worker, reason: str) -> None:
        """Records and logs a death, and has the place filled again."""
        version = self._register.record(reason, worker.slot)
        if reason == "exit" and not self._has_served:
            # It would fail the same way again.
            logger.error("worker %s could not start, so the service ends", worker.pid)
            self.has_failed = True
            self.should_exit.set()
            return
        pause = 0.0
        if time.monotonic() - worker.born_at < _SHORT_LIFE_SECONDS:
            pause = min(
                max(2 * self._pauses.get(place, 0.0), _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS
            )
        self._pauses[place] = pause
        self._due[place] = time.monotonic() + pause
        status = f"status {worker.exitcode}" if reason == "exit" else reason
        cause = _CAUSES.get(reason)
        logger.error(
            "worker %s died: %s%s%s; another one starts %s",
            worker.pid,
            status,
            f" ({cause})" if cause else "",
            f" with model {version}" if version else " without a model",
            f"in {pause:g} s" if pause else "at once",
        )

    def restart_all(self) -> None:
        """Replaces the workers one after the other; each ends once its successor serves."""
        for place, former in enumerate(self.processes):
            worker = self._start()
            deadline = time.monotonic() + _START_SECONDS
            while not worker.is_ready_seen and time.monotonic() < deadline:
                is_ending = {signal.SIGTERM, signal.SIGINT} & {*self.signal_queue}
                if is_ending or worker.exitcode is not None or not worker.answers(_START_SECONDS):
                    break
                time.sleep(0.05)
            if not worker.is_ready_seen:
                logger.error(
                    "new worker %s does not serve; worker %s stays", worker.pid, former.pid
                )
                worker.kill()
                worker.join()
                self._register.note(worker.slot, opening=None, serving=None)
                return
            former.terminate()
            self._join(former)
            self._due.pop(place, None)
            self.processes[place] = worker

    def handle_ttin(self) -> None:
        """Adds a worker."""
        self.processes_num += 1
        self.processes.append(self._start())

    def handle_ttou(self) -> None:
        """Ends a worker, but for the last one."""
        if self.processes_num > 1:
            self.processes_num -= 1
            worker = self.processes.pop()
            self._due.pop(self.processes_num, None)
            worker.terminate()
            self._join(worker)

    def join_all(self) -> None:
        """Waits for all workers; one that does not end is killed."""
        for worker in self.processes:
            self._join(worker)

    def _join(self, worker: Worker) -> None:
        worker.process.join((self.config.timeout_graceful_shutdown or 0) + _END_SECONDS)
        if worker.exitcode is None:
            logger.error("worker %s did not end in time and was killed", worker.pid)
            worker.process.kill()
            worker.process.join()
        elif worker.exitcode not in {0, -signal.SIGTERM, -signal.SIGINT}:
            logger.error("worker %s died while it ended: %s", worker.pid, worker.end_of_life())
        self._register.note(worker.slot, opening=None, serving=None)

    def _start(self) -> Worker:
        worker = Worker(self.config, self.sockets, self._register, self._n_started % SLOTS)
        self._n_started += 1
        worker.start()
        return worker
