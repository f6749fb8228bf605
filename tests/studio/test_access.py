import asyncio
from typing import Any

import pytest

from qumade.studio.access import COOKIE, MOST_UPLOADED, Guard, is_local, new_token


def ask(token: str | None, *, kind: str = "http", query: str = "", body: bytes = b"", **headers: str) -> dict[str, Any]:
    """Send one request through the guard; return what the client got, and whether the app was reached."""
    sent: list[Any] = []
    reached: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        reached.append(message.get("body", b"") if message["type"] != "http.disconnect" else b"cut off")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    names = {"host": "localhost:8090", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in names.items()]
    scope = {"type": kind, "headers": raw, "query_string": query.encode(), "path": "/"}
    asyncio.run(Guard(app, token=token)(scope, receive, send))
    return {"sent": sent, "reached": reached, "headers": dict(sent[0].get("headers", [])) if sent else {}}


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1:8090", "[::1]:8090", "localhost"])
def test_without_a_token_this_machine_is_answered(host):
    answer = ask(None, host=host)
    assert answer["reached"] and answer["sent"][0]["status"] == 200
    assert answer["headers"][b"x-content-type-options"] == b"nosniff"
    assert answer["headers"][b"x-frame-options"] == b"DENY"


@pytest.mark.parametrize("host", ["evil.example:8090", "192.168.0.7:8090", "localhost.evil.example", ""])
def test_a_page_that_resolves_its_own_name_to_this_machine_is_refused(host):
    answer = ask(None, host=host)
    assert not answer["reached"] and answer["sent"][0]["status"] == 403


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_another_site_is_refused_even_with_the_cookie(kind):
    answer = ask("secret", kind=kind, origin="http://evil.example", cookie=f"{COOKIE}=secret")
    assert not answer["reached"]
    assert answer["sent"][0] == {"type": "websocket.close", "code": 1008} or answer["sent"][0]["status"] == 403


def test_the_own_origin_is_answered():
    assert ask(None, origin="http://localhost:8090")["reached"]


@pytest.mark.parametrize(
    ("query", "cookie"), [("", ""), ("token=wrong", ""), ("", f"{COOKIE}=wrong"), ("token=", "x=y")]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_without_the_token_nothing_is_answered(query, cookie, kind):
    answer = ask("secret", kind=kind, query=query, cookie=cookie, host="10.0.0.5:8090")
    assert not answer["reached"]


def test_the_token_in_the_address_sets_a_cookie_that_suffices():
    answer = ask("secret", query="token=secret", host="10.0.0.5:8090")
    cookie = answer["headers"][b"set-cookie"].decode()
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    again = ask("secret", host="10.0.0.5:8090", cookie=cookie.split(";")[0])
    assert again["reached"] and b"set-cookie" not in again["headers"]
    assert ask("secret", kind="websocket", host="10.0.0.5:8090", cookie=cookie.split(";")[0])["reached"]


def test_large_bodies_are_refused_by_their_header_and_cut_off_without_it():
    assert ask(None, content_length=str(MOST_UPLOADED + 1))["sent"][0]["status"] == 403
    assert ask(None, content_length="-1")["sent"][0]["status"] == 403
    assert ask(None, body=bytes(MOST_UPLOADED + 1))["reached"] == [b"cut off"]
    assert ask(None, body=b"small")["reached"] == [b"small"]


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("a.org", False)],
)  # fmt: skip
def test_local_names(host, local):
    assert is_local(host) is local


def test_tokens_differ():
    assert len({new_token() for _ in range(20)}) == 20 and len(new_token()) >= 32
