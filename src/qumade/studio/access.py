"""Who may talk to the studio: this machine, or another one that knows the token."""

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["COOKIE", "MOST_UPLOADED", "Guard", "is_local", "new_token"]

COOKIE = "qumade-studio"
MOST_UPLOADED = 1 << 26
"""Bytes of the largest request: a photo, or a few."""
_TOKEN_BYTES = 24

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def new_token() -> str:
    """Return a token that cannot be guessed: 24 random bytes as text that fits into an address."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def is_local(host: str) -> bool:
    """Return whether a host name or address means this machine alone."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware around everything that the studio serves, pages, pictures, uploads and web sockets alike.

    Without a token only requests that name this machine as their host are answered: a page of another site that
    resolves its own name to this machine (DNS rebinding) is refused. With a token, the first request must carry it as
    `?token=`; the browser then keeps it in a cookie. In both cases a request that a page of another origin sends is
    refused, so that no site can act in the name of the user who visits it. Requests of more than MOST_UPLOADED bytes
    are refused or cut off.
    """

    def __init__(self, app: App, *, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_UPLOADED:
            await _refuse(scope, send, f"Invalid upload: must have at most {MOST_UPLOADED >> 20} MB")
            return
        receive = _bounded(receive)
        if not _same_origin(headers.get("origin"), host):
            await _refuse(scope, send, "Invalid origin: the request comes from another site")
        elif self.token is None:
            if is_local(urlsplit(f"//{host}").hostname or ""):
                await self.app(scope, receive, _safely(send, None))
            else:
                await _refuse(scope, send, "Invalid host: must be localhost; for other machines use --host")
        elif (given := _query_token(scope)) is not None and hmac.compare_digest(given.encode(), self.token.encode()):
            cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            await self.app(scope, receive, _safely(send, cookie))
        elif hmac.compare_digest(_cookie_token(headers.get("cookie", "")).encode(), self.token.encode()):
            await self.app(scope, receive, _safely(send, None))
        else:
            await _refuse(scope, send, "Invalid token: open the address that `qumade studio` printed")


def _same_origin(origin: str | None, host: str) -> bool:
    if origin is None:
        return True
    return urlsplit(origin).netloc.lower() == host.lower()


def _query_token(scope: Scope) -> str | None:
    return next(iter(parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])), None)


def _cookie_token(header: str) -> str:
    try:
        cookie = SimpleCookie(header)
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""


def _safely(send: Send, cookie: str | None) -> Send:
    """Add the headers that every answer has, and the cookie if it is to be set."""
    more = [
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),  # the address may hold the token
    ]
    if cookie is not None:
        more.append((b"set-cookie", cookie.encode("latin-1")))

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return sending


def _bounded(receive: Receive) -> Receive:
    """End a body that is longer than allowed, whatever its headers say."""
    received = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > MOST_UPLOADED:
                return {"type": "http.disconnect"}
        return message

    return receiving


async def _refuse(scope: Scope, send: Send, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
