"""
Attachments: what a file is, what a provider takes, and from where a URL is fetched (fault catalogue, 4.8).
"""

import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from llmcli.attachments import media_type, name_of_url, note, type_of_url, unfetched, without_bytes
from llmcli.commands.attach import Attached, Fetching, is_public
from llmcli.commands.reading import contents
from llmcli.errors import NetworkFailed, ProviderFailed, RequestRejected, TimedOut, UsageError
from llmcli.provider import Capabilities, Provider
from llmcli.types import Attachment, ProviderConfig
from llmcli.world import World
from tests.servers import Connection, Server, answers, head, stream

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 100
PDF = b"%PDF-1.7\n" + b"\0" * 100

# --- what a file is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF87a...", "image/gif"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0", "image/bmp"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (PDF, "application/pdf"),
        (b"ID3\x04\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0", "audio/mpeg"),
        (b"\xff\xf3\x40\xc4\0", "audio/mpeg"),
        (b"\xff\xf1\x50\x80\0", "audio/aac"),
        (b"fLaC\0\0", "audio/flac"),
        (b"OggS\0\x02", "audio/ogg"),
        (b"FORM\0\0\0\0AIFF", "audio/aiff"),
        (b"\x1aE\xdf\xa3\x01", "video/webm"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "image/avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image/heic"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0", "audio/mp4"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video/mp4"),
    ],
)
def test_the_first_bytes_tell_what_a_file_is(data: bytes, kind: str) -> None:
    assert media_type(data) == kind


@pytest.mark.parametrize(
    "data",
    [b"", b"P", PNG[:7], b"BMW is a car", "BM\ufeff".encode("utf-16"), "plain text".encode("utf-16"),
     b"RIFF\0\0\0\0AVI ", b"\xff\xff\xff\xff", b"\xff\xeb\x90\x64", b"<svg>", b"\0\0\0\0"],
)  # fmt: skip
def test_what_they_do_not_tell_is_not_guessed(data: bytes) -> None:
    assert media_type(data) is None


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("https://example.com/a/cat.PNG?width=200", "image/png", "cat.PNG"),
        ("https://example.com/report.pdf", "application/pdf", "report.pdf"),
        ("https://example.com/picture?name=cat.png", None, "picture"),
        ("https://example.com", None, "example.com"),
    ],
)
def test_the_path_of_a_url_may_tell_what_it_leads_to(url: str, kind: str | None, name: str) -> None:
    assert (type_of_url(url), name_of_url(url)) == (kind, name)


# --- what is attached -----------------------------------------------------------------------------


class Pictures(Provider):
    """Takes small pictures, and bytes only."""

    capabilities = Capabilities(vision=True)
    attachments: ClassVar = {"image/*": 200, "application/pdf": 1000}


class Far(Pictures):
    """Fetches URLs itself."""

    attachment_urls: ClassVar[bool] = True


class Blind(Provider):
    """Says that it sees, and takes nothing."""

    capabilities = Capabilities(vision=True)


PICTURES, FAR, BLIND = (cls(ProviderConfig(cls.__name__.lower())) for cls in (Pictures, Far, Blind))


def world(**env: str) -> World:
    return World(env, None, stdin=None, started=time.monotonic())


PUBLIC_ONLY = Fetching()


def attached(*words: str, stdin: bytes = b"", fetching: Fetching = PUBLIC_ONLY, **env: str) -> Attached:
    def read(path: str) -> bytes:
        return stdin if path == "-" else bytes(contents(path, world(), None))

    return Attached(words, world(**env), read=read, fetching=fetching)


def test_a_file_is_attached_by_its_content_whatever_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(JPEG)

    (part,) = attached(str(tmp_path / "cat.png")).parts(PICTURES)

    assert part == Attachment("image/jpeg", JPEG, name="cat.png")


def test_a_hyphen_is_stdin() -> None:
    assert attached("-", stdin=PNG).parts(PICTURES) == (Attachment("image/png", PNG, name="stdin"),)


def test_several_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(PDF)
    (tmp_path / "b").write_bytes(PNG)

    parts = attached(str(tmp_path / "b"), str(tmp_path / "a")).parts(PICTURES)

    assert [part.media_type for part in parts] == ["image/png", "application/pdf"]


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot read {}: No such file or directory"), (b"", "{} is empty, and cannot be attached"),
     (b"text\n", "{} is no image, sound or PDF that could be attached")],
)  # fmt: skip
def test_a_file_that_cannot_be_attached_is_named(content: bytes | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "x"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        attached(str(file))

    assert caught.value.message == told.format(file)


def test_a_type_that_a_provider_does_not_take_is_refused_with_those_that_it_does() -> None:
    with pytest.raises(RequestRejected) as caught:
        attached("-", stdin=b"ID3\x04").parts(PICTURES)

    assert caught.value.message == "pictures takes no audio/mpeg (stdin)"
    assert caught.value.hint == "what it takes: image/*, application/pdf"


def test_a_file_that_is_too_large_for_a_provider_is_refused_and_never_cut() -> None:
    large = attached("-", stdin=PNG + b"\0" * 100)

    with pytest.raises(RequestRejected) as caught:
        large.parts(PICTURES)

    assert caught.value.message == "stdin has 208 bytes; pictures takes at most 200 of image/png"


def test_a_provider_that_takes_nothing_is_given_nothing() -> None:
    with pytest.raises(RequestRejected, match="blind takes no attachments"):
        attached("-", stdin=PNG).parts(BLIND)


# --- URLs -----------------------------------------------------------------------------------------


def test_a_url_is_passed_on_where_the_service_fetches_it_itself() -> None:
    url = "https://pictures.example/cat.png?token=1"

    (part,) = attached(f"{url}#top").parts(FAR)

    assert part == Attachment("image/png", url=url, name="cat.png")


@pytest.mark.parametrize("path", ["report.pdf", "cat", "cat.txt"])
def test_what_does_not_look_like_a_picture_is_fetched_here(path: str) -> None:
    (part,) = attached(f"https://pictures.example/{path}", fetching=Fetching(off=True)).parts(FAR)

    assert note(part).endswith(f"fetched from https://pictures.example/{path}>")


@pytest.mark.parametrize(
    "word",
    [
        "https://user:secret@example.com/a.png",
        "https://example.com\\@127.0.0.1/a.png",
        "https://example.com:99999/a.png",
        "https://exämple.com/a.png",
        "https://example.com/ä.png",
        "https://example.com/a b.png",
        "https:///a.png",
        "http://[::1",
        "http://[::::]/a.png",
        "http://[1.2.3]/a.png",
        "https://example.com/a.png\r\nX-Header: 1",
    ],
)
def test_a_url_that_two_readers_may_take_apart_differently_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is no URL that can be fetched"):
        attached(word)


@pytest.mark.parametrize("word", ["file:///etc/passwd", "ftp://example.com/a.png", "data:image/png;base64,AAAA"])
def test_nothing_but_http_is_fetched(word: str) -> None:
    with pytest.raises(UsageError, match="only http and https are fetched"):
        attached(word)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8", "2002:808:808::1"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
        "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::",
        "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "2002:7f00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1", "::127.0.0.1",
        "192.0.0.192", "192.0.0.8", "192.88.99.1", "3fff::1",
        "fec0::1", "64:ff9b:1::a00:1", "::ffff:0:127.0.0.1", "100:0:0:1::1", "5f00::1", "168.63.129.16",
    ],
)  # fmt: skip
def test_addresses_that_not_everybody_reaches_are_not(address: str) -> None:
    assert not is_public(address)


def names(**addresses: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """A resolver that knows these names, by what stands before their first dot."""

    def resolve(host: bytes, port: int, **options: Any) -> list[tuple[Any, ...]]:
        found = addresses.get(host.decode().partition(".")[0])
        if found is None:
            raise OSError(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    return resolve


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_nothing_is_fetched_from_this_machine_however_it_is_called(host: str, serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG, "image/png"))

    with pytest.raises(UsageError, match="is not an address of the public internet") as caught:
        attached(f"http://{host}:{server.port}/a.png").parts(PICTURES)

    assert caught.value.hint is not None
    assert "--attach-private" in caught.value.hint
    assert server.accepted == 0


@pytest.mark.parametrize("addresses", [["169.254.169.254"], ["93.184.215.14", "10.0.0.1"]])
def test_a_name_that_leads_into_a_private_network_is_refused_even_if_not_only_there(addresses: list[str]) -> None:
    how = Fetching(resolve=names(pictures=addresses))

    with pytest.raises(UsageError, match=f"{addresses[-1]} is not an address of the public internet"):
        attached("http://pictures.example/a.png", fetching=how).parts(PICTURES)


def test_who_asks_for_it_fetches_from_the_own_network(serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG, "image/png"))
    how = Fetching(private=True, resolve=names(pictures=["127.0.0.1"]))

    (part,) = attached(f"http://pictures.example:{server.port}/cat?size=1", fetching=how).parts(PICTURES)

    assert part == Attachment("image/png", PNG, name="cat")
    (request,) = server.requests
    assert request.path == "/cat?size=1"
    assert request.headers["host"] == f"pictures.example:{server.port}"


def test_then_it_is_fetched_here_also_where_the_service_would(serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG, "image/png"))

    (part,) = attached(f"http://127.0.0.1:{server.port}/a.png", fetching=Fetching(private=True)).parts(FAR)

    assert (part.data, part.url) == (PNG, None)


def test_what_a_name_leads_to_is_asked_once_and_connected_to(serve: Callable[..., Server]) -> None:
    """A name that leads elsewhere the second time (DNS rebinding) is not asked a second time."""
    server = serve(answers(200, PNG, "image/png"))
    asked: list[bytes] = []

    def resolve(host: bytes, port: int, **options: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return names(pictures=["127.0.0.1"])(host, port)

    how = Fetching(private=True, resolve=resolve)
    attached(f"http://pictures.example:{server.port}/a.png", fetching=how).parts(PICTURES)

    assert asked == [b"pictures.example"]


def test_two_providers_that_are_asked_in_turn_cost_one_fetch(serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG, "image/png"))
    files = attached(f"{server.url}/a", fetching=Fetching(private=True))

    assert files.parts(PICTURES) == files.parts(FAR)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (answers(404, "no"), "the server answers with status 404"),
        (
            answers(302, "", Location="http://169.254.169.254/latest?x=1"),
            "it redirects to http://169.254.169.254/latest",
        ),
        (answers(200, b"<html>"), "/v1/a is no image, sound or PDF that could be attached"),
        (answers(200, b""), "/v1/a is empty"),
        (answers(200, PNG + b"\0" * 2000), "it is longer than 1,000 bytes"),
        (stream(PNG, *[b"\0" * 1000] * 3), "it is longer than 1,000 bytes"),
    ],
)
def test_what_cannot_be_had_is_told_and_is_a_mistake_of_the_call(
    script: Any, told: str, serve: Callable[..., Server]
) -> None:
    server = serve(script)

    with pytest.raises(UsageError) as caught:
        attached(f"{server.url}/a?token=secret", fetching=Fetching(private=True)).parts(PICTURES)

    assert told in caught.value.message
    assert "secret" not in caught.value.message
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_may_be_there_later(serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG))
    server.close()

    with pytest.raises(NetworkFailed) as caught:
        attached(f"{server.url}/a", fetching=Fetching(private=True)).parts(PICTURES)

    assert caught.value.message.startswith(f"cannot fetch {server.url}/a: connection refused")


def test_a_server_that_gives_a_byte_now_and_then_does_not_hold_us_for_ever(serve: Callable[..., Server]) -> None:
    def slowly(connection: Connection) -> None:
        connection.send(head(200, "image/png", Content_Length="100000"))
        while not connection.gone.wait(0.02):
            connection.send(b"\0")

    url = f"{serve(slowly).url}/a"

    with pytest.raises(TimedOut) as caught:
        attached(url, fetching=Fetching(private=True, seconds=0.3)).parts(PICTURES)

    assert caught.value.message == f"cannot fetch {url}: the total timeout of 0.3 s passed"


def test_a_body_that_was_cut_is_not_attached(serve: Callable[..., Server]) -> None:
    server = serve(lambda connection: connection.send(head(200, "image/png", Content_Length="1000") + PNG))

    with pytest.raises(ProviderFailed) as caught:
        attached(f"{server.url}/a", fetching=Fetching(private=True)).parts(PICTURES)

    assert caught.value.message.startswith(f"cannot fetch {server.url}/a: the connection was closed in the middle")


def test_a_server_that_fails_may_do_better_later(serve: Callable[..., Server]) -> None:
    server = serve(answers(503, "busy"))

    with pytest.raises(ProviderFailed, match="the server answers with status 503"):
        attached(f"{server.url}/a", fetching=Fetching(private=True)).parts(PICTURES)


def test_a_proxy_fetches_what_cannot_be_resolved_here(serve: Callable[..., Server]) -> None:
    proxy = serve(answers(200, PNG, "image/png"))
    env = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}

    (part,) = attached("http://pictures.example/a", fetching=Fetching(resolve=names()), **env).parts(PICTURES)

    assert part.data == PNG
    assert [request.path for request in proxy.requests] == ["http://pictures.example/a"]


def test_a_proxy_is_not_asked_for_what_may_lead_anywhere(serve: Callable[..., Server]) -> None:
    """A name service that takes its time has said nothing yet."""
    proxy = serve(answers(200, PNG, "image/png"))
    env = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
    never = threading.Event()

    def resolve(host: bytes, port: int, **options: Any) -> list[tuple[Any, ...]]:
        never.wait()
        return []

    with pytest.raises(NetworkFailed, match=r"cannot tell where slow\.example leads"):
        attached("http://slow.example/a", fetching=Fetching(resolve=resolve, seconds=0.1), **env).parts(PICTURES)

    assert proxy.accepted == 0
    never.set()


def test_what_gives_access_to_a_url_is_in_no_log(serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG, "image/png"))
    logged: list[dict[str, object]] = []
    how = Fetching(private=True, log=lambda event, **fields: logged.append(fields))

    attached(f"http://127.0.0.1:{server.port}/a?signature=secret", fetching=how).parts(PICTURES)

    assert logged
    assert "secret" not in str(logged)


def test_a_password_in_a_url_is_not_repeated_where_the_url_is_refused() -> None:
    with pytest.raises(UsageError, match=re.escape("-a https://pictures.example/a is no URL")) as refused:
        attached("https://ann:hunter2@pictures.example/a?signature=secret")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://169.254.169.254/a", "http://inside.example:8080/a", "http://[fd00::1]:80/a"])
def test_a_proxy_is_not_sent_into_a_private_network(url: str, serve: Callable[..., Server]) -> None:
    proxy = serve(answers(200, PNG, "image/png"))
    env = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
    known = {"inside": ["10.0.0.1"], "169": ["169.254.169.254"], "fd00::1": ["fd00::1"]}

    with pytest.raises(UsageError, match="is not an address of the public internet"):
        attached(url, fetching=Fetching(resolve=names(**known)), **env).parts(PICTURES)

    assert proxy.accepted == 0


def test_a_dry_run_fetches_nothing_and_says_what_would_be(serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG))

    (part,) = attached(f"{server.url}/cat.gif?token=secret", fetching=Fetching(off=True, private=True)).parts(PICTURES)

    assert note(part) == f"<image/gif, fetched from {server.url}/cat.gif>"
    assert server.accepted == 0


# --- in the place of the bytes --------------------------------------------------------------------


def test_a_request_is_shown_without_the_bytes_of_what_is_attached() -> None:
    large = Attachment("image/png", PNG * 100, name="cat.png")
    body = without_bytes('{"a": "data:image/png;base64,' + b64encode(large.data).decode() + '", "b": 1}', [large])

    assert body == '{"a": "data:image/png;base64,<image/png, 10,800 bytes>", "b": 1}'


def test_what_is_passed_on_by_its_url_is_left_as_it_is() -> None:
    assert without_bytes('{"a": ""}', [Attachment("image/png", url="https://example.com/a.png")]) == '{"a": ""}'


def test_what_is_not_fetched_yet_has_its_type_by_its_name() -> None:
    assert unfetched("https://example.com/a.pdf").media_type == "application/pdf"
