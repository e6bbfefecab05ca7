"""
A secret is replaced wherever it turns up, however it was encoded, and nothing else is.
"""

import json
from base64 import b64encode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmcli.redact import MASK, Redactor

SECRET = "sk-ab/cd+ef=gh ijwxyz"


def redactor_of(*secrets: str) -> Redactor:
    """A redactor that knows these secrets."""
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    return redactor


CLEAN = redactor_of(SECRET).clean


def test_a_secret_is_replaced_every_time_it_occurs() -> None:
    assert CLEAN(f"Bearer {SECRET}, again {SECRET}{SECRET}.") == f"Bearer {MASK}, again {MASK}{MASK}."


def test_a_text_without_the_secret_stays_as_it_is() -> None:
    text = "2 * 3 ** 4, **bold**, sk- and wxyz, ünïcode\n\ttab, sk-ab...wxyz"

    assert CLEAN(text) == text


def test_nothing_is_replaced_before_a_secret_is_known() -> None:
    assert Redactor().clean(f"{SECRET} sk-*****wxyz") == f"{SECRET} sk-*****wxyz"


@pytest.mark.parametrize(
    "encoded",
    [
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        urlencode({"key": SECRET}).removeprefix("key="),
        f"https://user:{quote(SECRET, safe='')}@host/",
    ],
)
def test_a_secret_in_a_url_is_replaced(encoded: str) -> None:
    cleaned = CLEAN(f"GET {encoded}&x=1")

    assert MASK in cleaned
    assert "ijwxyz" not in cleaned
    assert cleaned.endswith("&x=1")


@pytest.mark.parametrize("secret", ['quo"ted\\secret', "schlüssel-ключ", 'schlü"ssel', "tab\there-secret"])
def test_a_secret_in_json_or_a_python_repr_is_replaced(secret: str) -> None:
    clean = redactor_of(secret).clean

    assert clean(json.dumps({"key": secret})) == json.dumps({"key": MASK})
    assert clean(json.dumps({"key": secret}, ensure_ascii=False)) == json.dumps({"key": MASK})
    assert clean(f"Headers({secret.encode('unicode_escape').decode()})") == f"Headers({MASK})"


@given(
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
    secret=st.text(
        alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_é€", min_size=8, max_size=40
    ),
)
def test_a_secret_in_base64_is_replaced_wherever_it_begins(before: bytes, after: bytes, secret: str) -> None:
    """All characters go that hold nothing but bits of the secret; one at each end may hold some of its neighbour."""
    raw = secret.encode()
    whole = before + raw + after
    assume(whole.find(raw) == whole.rfind(raw))
    first, last = -(-len(before) * 8 // 6), (len(before) + len(raw)) * 8 // 6
    clean = redactor_of(secret).clean

    for encode in (b64encode, urlsafe_b64encode):
        encoded = encode(whole).decode()
        assert clean(f"Basic {encoded}") == clean(f"Basic {encoded[:first]}{MASK}{encoded[last:]}")


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user", "user@host.example"])
def test_the_password_of_basic_authentication_is_replaced(user: str) -> None:
    secret = "correct-horse-battery"
    encoded = b64encode(f"{user}:{secret}".encode()).decode()

    cleaned = redactor_of(secret).clean(f"Authorization: Basic {encoded}")

    assert MASK in cleaned
    assert len(cleaned) < len("Authorization: Basic ") + len(user) * 4 / 3 + 2 + len(MASK) + 6


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    "echo",
    [
        "sk-ab***********wxyz",
        "sk-ab********",
        "****wxyz",
        "***********wxyz",
        "sk-proj-****-****-wxyz",
        "sk-*",
        "sk-ab*cd*ef*wxyz",
    ],
)
def test_a_key_that_a_service_echoes_with_stars_is_replaced(echo: str) -> None:
    message = f"Incorrect API key provided: {echo}. You can find your API key at https://platform.example."

    assert CLEAN(message) == message.replace(echo, MASK)


@pytest.mark.parametrize("text", ["**bold**", "a*b", "****abcd", "gsk_ab****abcd", "rm *.txt", "wxyz*"])
def test_other_words_with_stars_stay(text: str) -> None:
    assert CLEAN(text) == text


def test_the_echo_of_any_known_key_is_replaced() -> None:
    clean = redactor_of("first-secret-1111", "other-secret-2222").clean

    assert clean("****1111 oth**** ****3333") == f"{MASK} {MASK} ****3333"


@pytest.mark.parametrize("short", ["", "a", "hello"])
def test_a_short_secret_does_not_blank_out_ordinary_words(short: str) -> None:
    assert redactor_of(short).clean("hello, a *lo world") == "hello, a *lo world"


def test_of_two_secrets_that_overlap_the_longer_is_replaced_whole() -> None:
    for secrets in (("secret", "secret-and-more"), ("secret-and-more", "secret")):
        assert redactor_of(*secrets).clean("secret-and-more, secret") == f"{MASK}, {MASK}"


def test_a_secret_that_is_no_utf8_is_replaced_too() -> None:
    """The environment hands over any bytes, and the error about them must not show them."""
    secret = b"key-\xff\xfe-bytes".decode("utf-8", "surrogateescape")

    assert (
        redactor_of(secret).clean(f"<{secret}> {quote(b'key-' + bytes([255, 254]) + b'-bytes')}") == f"<{MASK}> {MASK}"
    )


def test_cleaning_twice_changes_nothing_more() -> None:
    once = CLEAN(f"{SECRET} sk-ab****wxyz")

    assert CLEAN(once) == once


def test_a_long_text_without_a_secret_is_read_in_passing() -> None:
    """If each character were tried against all that follow it, this would not end today."""
    for text in ("x" * 2_000_000 + " *", "*" * 2_000_000, "x*" * 1_000_000, "*-" * 1_000_000, "sk-ab/" * 200_000 + "."):
        assert CLEAN(text) == text


LONG = "sk-proj-" + "0123456789abcdef" * 8


@pytest.mark.parametrize(
    "cut",
    [
        f"the key {LONG[:20]}",
        f"the key {LONG[:6]}…",
        f"got no API answer, but: {LONG[:60]} [provider=work]",
        f'{{"message": "the key {LONG[:30]}", "code": 4}}',
        f"the key '{LONG[:30]}'",
        f"{LONG[:30]}; trying again in 0.5 s",
        json.dumps(f"the key {LONG[:30]}…"),
        f"first {LONG[:100]}\nsecond {LONG[:50]}",
    ],
)
def test_a_secret_that_was_cut_off_is_replaced_as_far_as_it_goes(cut: str) -> None:
    cleaned = redactor_of(LONG).clean(cut)

    assert MASK in cleaned
    assert LONG[:6] not in cleaned
    assert LONG[8:14] not in cleaned


@pytest.mark.parametrize(
    "cut", [f"{LONG[60:]}: not valid", f"…{LONG[-6:]} is not valid", json.dumps(f"…{LONG[20:]}!"), f"…{LONG[8:]}"]
)
def test_the_end_of_a_secret_is_replaced_where_a_text_begins_with_it(cut: str) -> None:
    cleaned = redactor_of(LONG).clean(cut)

    assert MASK in cleaned
    assert LONG[-6:] not in cleaned


def test_a_cut_secret_of_one_character_again_and_again_leaves_nothing() -> None:
    assert redactor_of("x" * 40).clean(f"{'x' * 12}… and …{'x' * 30}") == f"{MASK}… and …{MASK}"


@pytest.mark.parametrize(
    "text", ["sk-pr", "sk-project-one", "sk-proj-...", "my sk-proj-01234 56789", "this abcdef is hex"]
)
def test_what_only_begins_or_ends_like_a_secret_stays(text: str) -> None:
    clean = redactor_of("sk-proj-0987654321abcdef").clean

    assert clean(text) == text


def test_secrets_are_added_from_many_threads_at_once() -> None:
    """`health` prepares its providers in parallel."""
    secrets = [f"secret-{number:04}-{'y' * number}" for number in range(200)]
    redactor = Redactor()

    with ThreadPoolExecutor(max_workers=16) as pool:
        list(pool.map(redactor.add, secrets))

    assert [secret for secret in secrets if redactor.clean(f"<{secret}>") != f"<{MASK}>"] == []


def test_a_header_that_holds_a_key_is_masked_however_short_that_is() -> None:
    redactor = Redactor()
    redactor.add_header("X-Own")
    headers = {"Authorization": "Bearer abc", "api-KEY": "abc", "x-own": "abc", "Accept": "abc", "Cookie": "a=b"}

    assert redactor.clean_headers(headers) == {**dict.fromkeys(headers, MASK), "Accept": "abc"}


def test_adding_a_secret_twice_is_the_same_as_once() -> None:
    assert redactor_of(SECRET, SECRET).clean(f"<{SECRET}>") == f"<{MASK}>"
