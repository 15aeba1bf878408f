"""A web server on this machine, as plain as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Handler(SimpleHTTPRequestHandler):
    """A static server, which knows no ranges, and fails where a test says so."""

    failing: ClassVar[dict[str, int]] = {}
    """How often a path, by its end, still answers 503."""
    asked: ClassVar[list[str]] = []

    def send_head(self) -> Any:
        self.asked.append(f"{self.command} {self.path}")
        for end, left in self.failing.items():
            if left and self.path.endswith(end):
                self.failing[end] = left - 1
                self.send_error(503)
                return None
        return super().send_head()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    """Python's own 5 makes the other callers wait for a second."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    Handler.failing.clear()
    Handler.asked.clear()
    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
