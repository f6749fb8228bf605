"""The web server of the studio."""

import asyncio
import ipaddress
import logging
import socket
import webbrowser
from pathlib import Path

from fastapi import Response
from nicegui import app, ui

from qumade.errors import ConfigError
from qumade.studio.access import Guard, is_local, new_token
from qumade.studio.page import studio_page
from qumade.studio.pictures import PREFIX
from qumade.studio.state import Studio

__all__ = ["address_of", "free_port", "own_host", "serve"]

FIRST_PORT, PORTS = 8090, 20


def serve(studio: Studio, *, host: str = "localhost", port: int | None = None, show: bool = True) -> None:
    """Serve the page until the process is interrupted, and open it in a browser with `show`.

    On another host than this machine, only who knows the token in the printed address is answered. Raises ConfigError
    for a host that is not this machine's, and for a port that is taken.
    """
    own = own_host(host)
    token = None if is_local(host) else new_token()
    port = free_port(own) if port is None else _checked(own, port)
    address = address_of(host, port, token)

    @ui.page("/", title="QuMaDe studio", favicon=_ICON, dark=None, response_timeout=60.0)
    async def page(panel: str | None = None) -> None:
        await studio_page(studio, panel)

    @app.get(PREFIX + "{key}", include_in_schema=False)
    def picture(key: str) -> Response:
        data = studio.pictures.get(key)
        if data is None:
            return Response(status_code=404)
        kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
        return Response(data, media_type=kind, headers={"cache-control": "private, max-age=86400, immutable"})

    studio.jobs.start()
    app.on_shutdown(studio.jobs.close)
    app.add_middleware(Guard, token=token)

    async def announce() -> None:
        await _listening(own, port)
        print(f"Studio at {address}\nStop it with Ctrl-C", flush=True)
        if show:
            webbrowser.open(address)

    app.on_startup(announce)  # in the background: the server listens only after its start
    logging.getLogger("nicegui").setLevel(logging.ERROR)  # its hints are for programmers
    logging.getLogger("uvicorn.error").addFilter(_is_of_interest)
    # A busy machine may answer late: with the default, a page that is silent for 2 s is cut off, and what is clicked at
    # that moment is lost. 30 s allow for 12 s of silence.
    ui.run(
        host=own,
        port=port,
        reload=False,
        show=False,
        show_welcome_message=False,
        title="QuMaDe studio",
        reconnect_timeout=30.0,
    )


def own_host(host: str) -> str:
    """Return what to listen on for a host: a name of this machine alone, such as localhost, is 127.0.0.1, and an IPv6
    address has no brackets. Raises ConfigError for anything that is no name or address of this machine."""
    name = host.strip().removeprefix("[").removesuffix("]")
    own = "127.0.0.1" if is_local(name) and not _is_address(name) else name
    try:
        if not own:
            raise OSError("nothing")
        _bind(own, 0)
    except (OSError, UnicodeError) as error:
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise ConfigError(
            f"Invalid --host: got {host!r}{why}; must be localhost, or a name or address of this machine"
        ) from None
    return own


def address_of(host: str, port: int, token: str | None) -> str:
    """Return the address to open, with the token if there is one."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    name = name.strip().removeprefix("[").removesuffix("]")
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def free_port(host: str) -> int:
    """Return the first free port from 8090 on. Raises ConfigError if 20 are taken."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _is_free(host, port):
            return port
    raise ConfigError(f"Invalid port: got none free from {FIRST_PORT} on; must be given as --port")


def _checked(host: str, port: int) -> int:
    if not 0 < port < 65536 or not _is_free(host, port):
        raise ConfigError(f"Invalid --port: got {port}; must be a free port from 1 to 65535")
    return port


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Return False for what is raised where a browser goes away before it has its answer, as after a quick reload."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, RuntimeError) and str(error) == "No response returned.")


async def _listening(host: str, port: int) -> None:
    """Wait until a port answers."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def _is_free(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    """Take a port and leave it again. Raises OSError, and UnicodeError for what cannot be a name of a host."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_ICON = Path(__file__).parent / "icon.svg"
