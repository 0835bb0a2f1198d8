"""A small HTTP server for tests: ranges, faults on demand, and a log of what was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Files by path, and how they misbehave.

    `cut` closes the connection after so many bytes, once per entry; `fail` answers with these
    statuses first; `slow` waits so many seconds before each answer.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: list[int] = []
        self.fail: list[int] = []
        self.slow = 0.0
        self.etag = '"one"'
        self.requests: list[tuple[str, str | None]] = []
        self.url = ""

    def put(self, path: str, content: bytes) -> str:
        self.files[f"/{path}"] = content
        return f"{self.url}/{path}"


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            server.requests.append((self.path, asked))
            threading.Event().wait(server.slow)
            if server.fail:
                self.send_error(server.fail.pop(0))
                return
            content = server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            same = self.headers.get("If-Range") in (None, server.etag)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
            if asked and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            if server.etag:
                self.send_header("ETag", server.etag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = server.cut.pop(0) if server.cut else len(content)
            self.wfile.write(content[start : start + stop])

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def running() -> Iterator[FileServer]:
    server = FileServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
