"""The server of `docs/how_to/serve.md`, taken from the page as a reader copies it, and attacked."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "serve.md"
CODE = re.compile(r"^```(?:python\n|\{code-block\} python\n:class: fragment\n)(.*?)^```$", re.MULTILINE | re.DOTALL)
CLIENTS, SECONDS = 4, 0.5  # the limit of time only where it is reached: a busy machine may need more for the others


class Answer(NamedTuple):
    status: int
    kind: str
    body: str


class Served(NamedTuple):
    """A running server, and the names of the page."""

    address: tuple[str, int]
    names: dict[str, Any]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)

    def send(self, data: bytes) -> Answer:
        """What comes back before the server closes the connection, which the client leaves open."""
        with self.connect() as connection:
            connection.sendall(data)
            return received(connection)

    def post(self, body: bytes, *headers: str) -> Answer:
        lines = ["POST / HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
        return self.send("\r\n".join(lines).encode() + body)

    def free(self) -> int:
        """How many clients may come, once the threads of those that have gone are over."""
        end = time.monotonic() + 5
        while (places := self.names["server"].places._value) < CLIENTS and time.monotonic() < end:
            time.sleep(0.01)
        return int(places)


def received(connection: socket.socket) -> Answer:
    data = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in headers)
    assert re.match(r"HTTP/1\.0 \d{3} ", status), data
    assert fields.get("Content-Length", str(len(body))) == str(len(body))
    return Answer(int(status.split()[1]), fields["Content-Type"], body.decode())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """The page as one program, but for the number of clients, which would take long to reach."""
    page = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "page"}
    for code in CODE.findall(page[: page.index("## A conversation")]):
        exec(compile(code, str(PAGE), "exec"), names)
    assert (names["SECONDS"], names["CLIENTS"]) == (10, 64)
    names["CLIENTS"] = CLIENTS
    names["server"] = names["Server"](("127.0.0.1", 0), names["Handler"])
    thread = threading.Thread(target=names["server"].serve_forever, args=(0.01,))
    thread.start()
    yield Served(names["server"].server_address, names)
    names["server"].shutdown()
    names["server"].server_close()
    thread.join()
    names["temporary"].cleanup()


@pytest.fixture(autouse=True)
def unharmed(served: Served, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """After each attack: an answer, no thread that is left, and no error of the server's own."""
    yield
    assert served.free() == CLIENTS
    assert served.post(b'{"prompt": "a rat ", "seed": 0}') == (200, "text/plain; charset=utf-8", "is in a hat")
    assert served.free() == CLIENTS
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def hurried(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(served.names, "SECONDS", SECONDS)


def refused(answer: Answer, status: int, message: str) -> None:
    assert (answer.status, answer.kind) == (status, "application/json")
    error = json.loads(answer.body)
    assert list(error) == ["error"]
    assert re.search(message, error["error"]), error


def shown(value: object) -> str | None:
    """The name of a test: that of a long request is its beginning."""
    return repr(value[:40]) if isinstance(value, bytes) else None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", r"Expecting value"),
        (b"the ", r"Expecting value"),
        (b"\xff\xfe\xfa", r"codec can't decode"),
        (b"[" * 9000, r"recursion|Expecting value"),
        (b"[" * 4500 + b"]" * 4500, r"recursion|such as"),
        (b'{"prompt": ' + b"[" * 4500 + b"]" * 4500 + b"}", r"recursion|must be a text"),
        (b'{"a": ' * 1500, r"recursion|Expecting value"),
        (b"null", r'such as \{"prompt": "the "\}'),
        (b'["the "]', r'such as \{"prompt": "the "\}'),
        (b"{}", r'such as \{"prompt": "the "\}'),
        (b'{"prompt": null}', r"prompt must be a text"),
        (b'{"prompt": ["the "]}', r"prompt must be a text"),
        (b'{"prompt": "the ", "length": true}', r"integers of at least 0"),
        (b'{"prompt": "the ", "length": 2.0}', r"integers of at least 0"),
        (b'{"prompt": "the ", "length": -1}', r"integers of at least 0"),
        (b'{"prompt": "the ", "length": null}', r"integers of at least 0"),
        (b'{"prompt": "the ", "length": NaN}', r"'NaN'"),
        (b'{"prompt": "the ", "length": -Infinity}', r"'-Infinity'"),
        (b'{"prompt": "the ", "length": 1e999}', r"integers of at least 0"),
        (b'{"prompt": "the ", "length": ' + b"9" * 9000 + b"}", r"digits"),
        (b'{"prompt": "the ", "seed": [1]}', r"integers of at least 0"),
        (b'{"prompt": "the ", "path": "/etc/passwd"}', r"there is nothing else"),
        (b'{"prompt": "the ", "self": 1}', r"there is nothing else"),
        (b'{"prompt": ""}', r"prompt"),
        (b'{"prompt": "the dog"}', r"'d' \(U\+0064\) at position 4"),
        (b'{"prompt": "\\ud800\\n"}', r"U\+D800"),
    ],
    ids=shown,
)
def test_a_body_of_junk_is_an_error_of_the_client(served: Served, body: bytes, message: str) -> None:
    refused(served.post(body), 400, message)


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (b"POST / HTTP/1.1\r\n\r\n", 411, "Content-Length"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411, "Content-Length"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}", 400, "number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n{}", 400, "number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n{}", 400, "number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: 10001\r\n\r\n", 413, "10000 bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 9000 + b"\r\n\r\n", 413, "10000 bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b" " * 3_000_000, 413, "10000 bytes"),
        (b"POST /etc HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 404, "the only path is /"),
        (b"GET / HTTP/1.1\r\n\r\n", 405, "send a POST"),
        (b"DELETE / HTTP/1.1\r\n\r\n", 405, "send a POST"),
        (b"BREW / HTTP/1.1\r\n\r\n", 501, "BREW"),
        (b"GET /\r\n\r\n", 405, "send a POST"),
        (b"POST /\r\n\r\n", 400, "HTTP/0.9"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "Bad"),
        (b"POST / HTTP/9.9\r\n\r\n", 505, "9.9"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, "URI"),
        (b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431, "headers"),
        (b"POST / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431, "Line too long"),
    ],
    ids=shown,
)
def test_a_request_that_does_not_fit_gets_its_status(
    served: Served, request_: bytes, status: int, message: str
) -> None:
    refused(served.send(request_), status, message)


def test_head_gets_no_body(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\n\r\n")
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    assert data.startswith(b"HTTP/1.0 405 ")
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "begin",
    [b"PO", b"POST / HTTP/1.1\r\na: ", b"POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"],
    ids=["in the first line", "in a header", "in the body"],
)
def test_a_slow_sender_is_told_when_its_time_is_over(served: Served, begin: bytes) -> None:
    start = time.monotonic()
    with served.connect() as connection:
        connection.sendall(begin)
        connection.settimeout(SECONDS / 20)
        answer = b""
        while not answer and time.monotonic() < start + 10:
            connection.sendall(b" ")  # a byte, long before a time-out of the socket
            try:
                answer = connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
        connection.settimeout(10)
        refused(received(connection), 408, f"within {SECONDS} seconds")
    assert SECONDS / 2 < time.monotonic() - start < 5


@pytest.mark.usefixtures("hurried")
def test_a_client_that_sends_nothing_is_left(served: Served) -> None:
    with served.connect() as connection:
        assert connection.recv(1) == b""


def test_a_body_that_ends_early_is_an_error(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 50\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        refused(received(connection), 400, "shorter than Content-Length")


def test_there_is_a_limit_to_the_clients_at_once(served: Served) -> None:
    threads = threading.active_count()
    idle = [served.connect() for _ in range(CLIENTS)]
    for _ in range(20):
        with served.connect() as connection:
            refused(received(connection), 503, "try again")
    assert threading.active_count() == threads + CLIENTS
    for connection in idle:
        connection.close()


def test_a_client_that_leaves_in_the_middle_of_an_answer_ends_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def endless(**how: Any) -> Iterator[str]:
        try:
            while True:
                yield "the cat " * 1000
        finally:
            ended.set()

    monkeypatch.setitem(served.names, "answer", endless)
    for linger in (True, False):  # by a reset, and as usual
        ended.clear()
        connection = served.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", linger, 0))
        connection.sendall(b'POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n{"prompt": "the "}')
        assert connection.recv(10)
        connection.close()
        assert ended.wait(5)


@pytest.mark.usefixtures("hurried")
def test_a_client_that_does_not_read_is_left(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(served.names, "answer", lambda **how: iter(["the cat " * 1_000_000] * 100))
    with served.connect() as connection:
        connection.sendall(b'POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n{"prompt": "the "}')
        assert served.free() == CLIENTS


def test_many_clients_get_what_each_asked_for(served: Served) -> None:
    found: dict[int, str] = {}

    def ask(seed: int) -> None:
        found[seed] = served.post(f'{{"prompt": "the ", "length": 2000, "seed": {seed}}}'.encode()).body

    for _ in range(4):
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {seed: "".join(served.names["answer"]("the ", seed=seed)) for seed in range(CLIENTS)}
        assert served.free() == CLIENTS
