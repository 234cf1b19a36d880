"""A proxy in front of an S3 server that misbehaves: as stores do under load, and the same way each time."""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KINDS = ("slow_down", "drop", "lose", "truncate", "slow")
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
PIECES, PAUSE = 8, 0.02

Refusal = tuple[int, str, str]


@dataclass(frozen=True)
class Faults:
    """What goes wrong, decided by a hash of seed, method, path, and how often that was asked before.

    Shares of requests: `slow_down` answers 503; `drop` closes the connection after half of the request's body; `lose`
    has the request done, and closes it without an answer; `truncate` closes it after half of the answer's body; `slow`
    sends the answer in pieces with pauses. The same request fails at most `times` times. `refuse` gives, by method and
    path, a status, a code and a message for ever.
    """

    seed: int = 0
    slow_down: float = 0.0
    drop: float = 0.0
    lose: float = 0.0
    truncate: float = 0.0
    slow: float = 0.0
    times: int = 2
    refuse: Callable[[str, str], Refusal | None] = lambda method, path: None

    def kind(self, method: str, path: str, asked: int) -> str:
        """The name of the fault for this request, or nothing."""
        if asked >= self.times:
            return ""
        digest = hashlib.sha256(f"{self.seed} {method} {path} {asked}".encode()).digest()
        dice = int.from_bytes(digest[:8], "big") / 2**64
        for kind in KINDS:
            dice -= getattr(self, kind)
            if dice < 0:
                return kind
        return ""


class FaultyStore:
    """A server on loopback that hands on every request to `upstream` (http://host:port), but for its `faults`.

    `given` counts the faults by kind, `requests` everything that was asked. The Host header goes on as it is, since
    it is part of what is signed.
    """

    def __init__(self, upstream: str, faults: Faults) -> None:
        self.faults = faults
        self.given: Counter[str] = Counter()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._upstream = urlsplit(upstream).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyStore:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def requests(self) -> int:
        return self._asked.total()

    def _choose(self, method: str, path: str) -> tuple[str, Refusal | None]:
        with self._lock:
            refusal = self.faults.refuse(method, path)
            asked = self._asked[method, path]
            self._asked[method, path] += 1
            kind = "refuse" if refusal else self.faults.kind(method, path, asked)
            if kind:
                self.given[kind] += 1
            return kind, refusal

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        """Makes the handler of this store: http.server wants a class."""
        return type("Handler", (_Handler,), {"store": self})


class _Handler(BaseHTTPRequestHandler):
    """Serves one connection of `store`: hands requests on to the store behind it, with the faults that are due."""

    store: FaultyStore
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output is no log of requests."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True  # the client went away: it was told that something is wrong

    def _serve(self) -> None:
        kind, refusal = self.store._choose(self.command, self.path)
        if kind == "drop":
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            self._hang_up()
            return
        body = self._body()
        if kind == "slow_down":
            refusal = (503, "SlowDown", "Please reduce your request rate.")
        if refusal:
            self._refuse(*refusal)
            return
        self._hand_on(body, kind)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _refuse(self, status: int, code: str, message: str) -> None:
        # Real stores repeat the access key, where they do not know it.
        key = re.search(r"Credential=([^/]+)", self.headers.get("Authorization", ""))
        named = f"<AWSAccessKeyId>{key[1] if key else ''}</AWSAccessKeyId>"
        text = f"<Error><Code>{code}</Code><Message>{message}</Message>{named}</Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _hand_on(self, body: bytes, kind: str) -> None:
        upstream = http.client.HTTPConnection(self.store._upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        headers["Content-Length"] = str(len(body))
        upstream.request(self.command, self.path, body=body, headers=headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if kind == "lose":
            self._hang_up()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self._send(data, kind)

    def _send(self, data: bytes, kind: str) -> None:
        if kind == "truncate" and data:
            self.wfile.write(data[: len(data) // 2])
            self._hang_up()
        elif kind == "slow":
            step = max(1, -(-len(data) // PIECES))
            for start in range(0, len(data), step):
                self.wfile.write(data[start : start + step])
                self.wfile.flush()
                threading.Event().wait(PAUSE)
        else:
            self.wfile.write(data)

    def _hang_up(self) -> None:
        """Ends the connection with a reset, as a machine that dies does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
