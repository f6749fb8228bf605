import asyncio
import json
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.studio_server import serving
from qumade.errors import ConfigError

server = pytest.importorskip("qumade.studio.server", reason="the extra `studio` is not installed")


@pytest.mark.parametrize(
    ("host", "token", "address"),
    [
        ("localhost", None, "http://localhost:8090/"),
        ("::1", None, "http://[::1]:8090/"),
        ("[::1]", None, "http://[::1]:8090/"),
        ("192.168.1.5", "abc", "http://192.168.1.5:8090/?token=abc"),
        ("0.0.0.0", "abc", f"http://{socket.gethostname()}:8090/?token=abc"),
    ],
)
def test_the_printed_address(host, token, address):
    assert server.address_of(host, 8090, token) == address


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", "127.0.0.1"), ("studio.localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "0.0.0.0"),
    ],
)  # fmt: skip
def test_what_is_listened_on(host, own):
    assert server.own_host(host) == own


@pytest.mark.parametrize("host", ["", "no.such.host.invalid", "192.0.2.1", "a" * 70, "..", "2001:db8::1", "[", "a b"])
def test_a_host_that_is_not_of_this_machine_is_named(host):
    with pytest.raises(ConfigError, match=r"Invalid --host: got .*; must be localhost, or a name or address of this"):
        server.own_host(host)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost"])
def test_the_printed_address_answers(world, tmp_path, host):
    if ":" in host:
        try:
            server.own_host(host)
        except ConfigError:
            pytest.skip("this machine has no IPv6")
    with (
        serving(world / "samples", "--host", host, "--out", tmp_path / "own", folder=tmp_path) as address,
        urllib.request.urlopen(address) as answer,
    ):
        assert answer.status == 200


def test_a_port_that_is_taken_is_passed_over_or_named():
    first = server.free_port("127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        assert server.free_port("127.0.0.1") > first
        with pytest.raises(ConfigError, match=f"got {first}; must be a free port"):
            server._checked("127.0.0.1", first)


def test_the_address_is_printed_only_when_it_answers():
    port = server.free_port("127.0.0.1")

    async def start_late():
        waiting = asyncio.create_task(server._listening("127.0.0.1", port))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port):
            await asyncio.wait_for(waiting, 30)

    # In a thread of its own: where tests drive a browser, a loop runs in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, start_late()).result()


@pytest.mark.slow
def test_another_machine_needs_the_token(world, tmp_path):
    with serving(world / "samples", "--host", "0.0.0.0", "--out", tmp_path / "own", folder=tmp_path) as address:
        port = int(address.split(":")[2].split("/")[0])
        token = address.split("token=")[1]
        plain = f"http://127.0.0.1:{port}/"
        for wrong in ("", "?token=", "?token=guess"):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(plain + wrong)
        with urllib.request.urlopen(f"{plain}?token={token}") as answer:
            assert answer.status == 200 and "qumade-studio=" in answer.headers["set-cookie"]


@pytest.mark.slow
def test_pictures_have_addresses_that_cannot_be_guessed(studio_address):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{studio_address}studio-picture/0123")
    request = urllib.request.Request(studio_address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


@pytest.mark.slow
def test_a_page_that_is_left_at_once_is_no_error(open_page, world):
    for _ in range(4):
        page = open_page("try")
        page.goto(page.url.replace("try", "look"))
        page.wait_for_selector(".qs-grid")
        page.close()
    port = page.url.split(":")[2].split("/")[0]
    said = (world / f"server-{port}.log").read_text()
    assert "Studio at" in said and "Traceback" not in said


@pytest.mark.slow
def test_a_page_on_a_busy_machine_may_be_silent_for_seconds(studio_address):
    with urllib.request.urlopen(f"{studio_address}_nicegui_ws/socket.io/?EIO=4&transport=polling") as answer:
        promised = json.loads(answer.read()[1:])
    assert promised["pingTimeout"] >= 10_000, "milliseconds until a page that does not answer is cut off"
