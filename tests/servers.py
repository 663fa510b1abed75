"""Servers that a test talks to, or that Gatehouse talks to in a test: real ones, on a port of their own."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto import backends
from moto.server import ThreadedMotoServer


@contextmanager
def taking_posts(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """The host and port of a server that gives each body it is sent to `answer`, and back what that returns."""

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = answer(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=30)


@contextmanager
def keeping_posts() -> Iterator[tuple[str, list[bytes]]]:
    """The host and port of a server that keeps what it is sent, and what that was."""
    received: list[bytes] = []

    def keep(body: bytes) -> bytes:
        received.append(body)
        return b""

    with taking_posts(keep) as address:
        yield address, received


@contextmanager
def s3() -> Iterator[str]:
    """The address of an S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    backends.get_backend("s3").reset()  # it belongs to the process, and the next server would show what this one had
