"""Several processes that serve on one port, and their parent."""

from __future__ import annotations

import logging
from typing import Final, cast

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app.server.draining import Server, ServiceConfig, refuse_new_connections

# A large model may be read from a slow disk.
_READY_SECONDS: Final = 60.0

_log = logging.getLogger("uvicorn.error")


class Worker(Process):
    """One of several processes that serve."""

    @property
    def server(self) -> Server:
        """The server of this process."""
        if self._server is None:
            self._server = Server(cast("ServiceConfig", self.config))
        return cast("Server", self._server)


class Supervisor(Multiprocess):
    """The parent of all workers: replaces those that end, and ends all."""

    def init_processes(self) -> None:
        """Starts all workers."""
        self.processes += [self._started_worker() for _ in range(self.processes_num)]

    def terminate_all(self) -> None:
        """Tells all workers to end, and leaves them the connections that wait for one."""
        for listener in self.sockets:
            refuse_new_connections(listener)
            listener.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have ended or do not answer."""
        if self.should_exit.is_set():
            return
        for place, worker in enumerate(self.processes):
            if worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            worker.kill()
            worker.join()
            if worker.exitcode == STARTUP_FAILURE:
                _log.error("worker %s failed to start, so none is tried again", worker.pid)
                self.should_exit.set()
            if self.should_exit.is_set():
                return
            _log.info("worker %s has ended", worker.pid)
            self.processes[place] = self._started_worker()

    def restart_all(self) -> None:
        """Replaces all workers, each when the new one serves."""
        for place, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            successor = self._started_worker()
            if not successor.wait_until_ready(_READY_SECONDS, self.should_exit):
                successor.kill()
                successor.join()
                if not self.should_exit.is_set():
                    _log.error("a new worker is not ready in time; the old ones stay")
                return
            worker.terminate()
            worker.join()
            self.processes[place] = successor

    def handle_ttin(self) -> None:
        """Starts one worker more."""
        self.processes_num += 1
        self.processes.append(self._started_worker())

    def _started_worker(self) -> Worker:
        worker = Worker(self.config, self.sockets)
        worker.start()
        return worker
