"""
Bytes become the same records however the network cuts them, and nothing that a server sends breaks or floods us.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcli.errors import ProviderFailed
from llmcli.framing import (
    RECORD_LIMIT,
    SSE,
    Delimiter,
    Framing,
    JsonArray,
    JsonLines,
    Record,
    decode_body,
    parse_json,
    parse_json_stream,
)

BOM = b"\xef\xbb\xbf"
MEGABYTE = b"x" * 2**20


def records_of(framing: Framing, chunks: Iterable[bytes]) -> list[Record]:
    """All records of a body that arrives in these chunks and then ends cleanly."""
    return [record for chunk in chunks for record in framing.feed(chunk)] + framing.end()


def outcome_of(framing: Framing, chunks: Iterable[bytes]) -> list[Record] | str:
    """All records, or what went wrong."""
    try:
        return records_of(framing, chunks)
    except ProviderFailed as error:
        return error.message


def every_cutting(body: bytes) -> Iterator[list[bytes]]:
    """In one piece, in two pieces cut at every byte, byte by byte, and byte by byte with empty chunks between."""
    yield [body]
    for place in range(len(body) + 1):
        yield [body[:place], body[place:]]
    yield [body[place : place + 1] for place in range(len(body))]
    yield [piece for place in range(len(body)) for piece in (b"", body[place : place + 1], b"")]


def messages(*data: str) -> list[Record]:
    return [Record(text) for text in data]


# --- server-sent events ---------------------------------------------------------------------------

SSE_VECTORS = [
    pytest.param(b"data: a\n\n", messages("a"), id="LF"),
    pytest.param(b"data:a\r\n\r\n", messages("a"), id="CRLF, and no space after the colon"),
    pytest.param(BOM + b"data: a\n\n", messages("a"), id="a byte order mark before the first line"),
    pytest.param(b": ping\n\ndata: a\n\n", messages("a"), id="a comment"),
    pytest.param(b"data: a\r\rdata: b\r\r", messages("a", "b"), id="lone CR"),
    pytest.param(b"data: a\r\n\r\ndata: b\n\n", messages("a", "b"), id="CRLF, then LF"),
    pytest.param(b"data: a\r\n\rdata: b\n\r\n", messages("a", "b"), id="all three line ends mixed"),
    pytest.param(BOM + BOM + b"data: a\ndata: b\n\n", messages("b"), id="a second byte order mark is data"),
    pytest.param(b"data: a\n\n" + BOM + b"data: b\n\n", messages("a"), id="a byte order mark later on is data"),
    pytest.param(b"data\n\ndata\ndata\n\n", messages("", "\n"), id="data without a colon"),
    pytest.param(b"data:\n\n", messages(""), id="empty data is an event"),
    pytest.param(b"data:  a\n\n", messages(" a"), id="one space is removed"),
    pytest.param(b"data:\ta \n\n", messages("\ta "), id="other blanks are data"),
    pytest.param(b"data: a\ndata: b\n\n", messages("a\nb"), id="two lines of data"),
    pytest.param(b"event: x\r\ndata: a\r\ndata: b\r\n\r\n", [Record("a\nb", "x")], id="CRLF within an event"),
    pytest.param(b"data: a\ndata:\ndata:b\n\n", messages("a\n\nb"), id="an empty line of data between"),
    pytest.param(b"data: a:b: c\n\n", messages("a:b: c"), id="colons in the data"),
    pytest.param(b"event: x\n\ndata: a\n\n", messages("a"), id="an event without data forgets its name"),
    pytest.param(b"event: x\ndata: a\n\ndata: b\n\n", [Record("a", "x"), Record("b")], id="a name is for one event"),
    pytest.param(b"data: a\nevent: x\nevent: y\n\n", [Record("a", "y")], id="the last name wins"),
    pytest.param(b"event:\ndata: a\n\n", messages("a"), id="an empty name is the default"),
    pytest.param(b"event: x\n: ping\ndata: a\n\n", [Record("a", "x")], id="a comment inside an event"),
    pytest.param(b"Data: a\ndata : b\n data: c\n\n", [], id="field names are exact"),
    pytest.param(b"data: a\n\ndata: b\n", messages("a"), id="an event that was cut is dropped"),
    pytest.param(b"data: a\n\ndata: b", messages("a"), id="a line that was cut is dropped"),
    pytest.param(b'data: {"a":1}\n\ndata: {"b"', messages('{"a":1}'), id="cut inside JSON"),
    pytest.param(b"data: [DONE]", messages("[DONE]"), id="[DONE] needs no line end"),
    pytest.param(b"data: [DONE]\n", messages("[DONE]"), id="[DONE] needs no blank line"),
    pytest.param(b'event: x\ndata: {"a":1}', [Record('{"a":1}', "x")], id="nor does complete JSON"),
    pytest.param(b'data: {"a":\ndata: 1}\r', messages('{"a":\n1}'), id="nor does JSON in two lines"),
    pytest.param(
        'data: {"t":"a\u2028b\u2029\x85\x0b\x0c\x1c"}\n\n'.encode(),
        messages('{"t":"a\u2028b\u2029\x85\x0b\x0c\x1c"}'),
        id="other line separators are text",
    ),
    pytest.param("data: €😀\n\n".encode(), messages("€😀"), id="characters of several bytes"),
    pytest.param(b"data: \xff\xe2\x82\n\ndata: \xac\n\n", messages("\ufffd\ufffd", "\ufffd"), id="not UTF-8"),
    pytest.param(b"data: a\x00b\n\n", messages("a\x00b"), id="NUL is data"),
    pytest.param(
        b'error: {"code":400}\n\ndata: [DONE]\n\n',
        [Record('{"code":400}', "error"), Record("[DONE]")],
        id="the error field of an old llama.cpp",
    ),
    pytest.param(b"\n\n\r\n\r\rdata: a\n\n", messages("a"), id="blank lines first"),
    pytest.param(b"", [], id="nothing"),
    pytest.param(BOM, [], id="nothing but a byte order mark"),
]


@pytest.mark.fault(44)
@pytest.mark.fault(55)
@pytest.mark.fault(56)
@pytest.mark.fault(57)
@pytest.mark.parametrize(("body", "records"), SSE_VECTORS)
def test_an_event_stream_reads_the_same_however_it_is_cut(body: bytes, records: list[Record]) -> None:
    for chunks in every_cutting(body):
        assert records_of(SSE(), chunks) == records, chunks


def test_the_last_event_id_stays_until_another_one_comes() -> None:
    framing = SSE()
    seen = []
    for chunk in (b"id: 7\ndata: a\n\n", b"data: b\n\n", b"id\ndata: c\n\n"):
        framing.feed(chunk)
        seen.append(framing.last_event_id)

    assert seen == ["7", "7", ""]


def test_an_id_counts_even_when_its_event_has_no_data() -> None:
    framing = SSE()

    assert framing.feed(b"id: 7\n\n") == []
    assert framing.last_event_id == "7"


def test_an_id_with_a_nul_is_ignored() -> None:
    framing = SSE()
    framing.feed(b"id: 7\nid: 1\0\ndata: a\n\n")

    assert framing.last_event_id == "7"


@pytest.mark.parametrize("other", [b"1x", b"", b"-1", b"1.5", "٣".encode(), b"9" * 5000])
def test_a_retry_time_is_taken_only_if_it_is_a_number(other: bytes) -> None:
    framing = SSE()

    assert framing.feed(b"retry: 15\nretry: " + other + b"\ndata: a\n\n") == messages("a")
    assert framing.retry == 15


def test_no_event_waits_for_the_line_feed_after_its_carriage_return() -> None:
    framing = SSE()

    assert framing.feed(b"data: a\r\n\r") == messages("a")
    assert framing.feed(b"\ndata: b\r\n\r\n") == messages("b")


def test_an_event_is_handed_out_with_the_chunk_that_completes_it() -> None:
    framing = SSE()

    assert [framing.feed(chunk) for chunk in (b"data: a\n", b"\n", b"da", b"ta: b\n\ndata: c")] == [
        [],
        messages("a"),
        [],
        messages("b"),
    ]


# --- JSON lines -----------------------------------------------------------------------------------

JSON_LINES_VECTORS = [
    pytest.param(b'{"a":1}\n{"b":2}\n', messages('{"a":1}', '{"b":2}'), id="two lines"),
    pytest.param(b'{"a":1}\r\n{"b":2}\r\n', messages('{"a":1}', '{"b":2}'), id="CRLF"),
    pytest.param(b'{"a":1}\n{"b":2}', messages('{"a":1}', '{"b":2}'), id="the last line lacks its LF"),
    pytest.param(b'{"a":1}\n{"b"', messages('{"a":1}', '{"b"'), id="the last line was cut: it is for the reader"),
    pytest.param(b'\n\n{"a":1}\n \r\n\r\n\n', messages('{"a":1}'), id="blank lines"),
    pytest.param(b'\x1e{"a":1}\n\x1e{"b":2}\n', messages('{"a":1}', '{"b":2}'), id="RFC 7464"),
    pytest.param(BOM + b'{"a":1}\n', messages('{"a":1}'), id="a byte order mark"),
    pytest.param(
        '{"t":"a\u2028b\x85\x0b😀"}\n'.encode(), messages('{"t":"a\u2028b\x85\x0b😀"}'), id="other separators"
    ),
    pytest.param(b'{"a":\r1}\n', messages('{"a":\r1}'), id="a lone CR ends no line"),
    pytest.param(
        b"Hello\n world\n\tyou \n", messages("Hello", " world", "\tyou "), id="lines of text keep their blanks"
    ),
    pytest.param(b"\xff\xe2\x82\n", messages("\ufffd\ufffd"), id="not UTF-8"),
    pytest.param(b"", [], id="nothing"),
]


@pytest.mark.parametrize(("body", "records"), JSON_LINES_VECTORS)
def test_json_lines_read_the_same_however_they_are_cut(body: bytes, records: list[Record]) -> None:
    for chunks in every_cutting(body):
        assert records_of(JsonLines(), chunks) == records, chunks


# --- a JSON array ---------------------------------------------------------------------------------

JSON_ARRAY_VECTORS = [
    pytest.param(b'[{"a":1},{"b":2}]', messages('{"a":1}', '{"b":2}'), id="two elements"),
    pytest.param(
        b' \r\n[{\n  "a": [1, 2]\n}\n,\r\n{"b": {}}\n]\n',
        messages('{\n  "a": [1, 2]\n}', '{"b": {}}'),
        id="pretty-printed",
    ),
    pytest.param(BOM + b"[1]", messages("1"), id="a byte order mark"),
    pytest.param(
        rb'[{"t":"],}[{\" \\"},{"u":"\\\\"}]',
        messages(r'{"t":"],}[{\" \\"}', r'{"u":"\\\\"}'),
        id="signs and quotes in strings",
    ),
    pytest.param('[{"t":"\u2028€😀"}]'.encode(), messages('{"t":"\u2028€😀"}'), id="characters of several bytes"),
    pytest.param(
        b'[1,"a,b",null,[2,[3]]]', messages("1", '"a,b"', "null", "[2,[3]]"), id="elements that are no objects"
    ),
    pytest.param(b"[,{},\n,{}]", messages("{}", "{}"), id="a comma too many"),
    pytest.param(b"[]", [], id="an empty array"),
    pytest.param(b'"]}\\ [1]', messages("1"), id="what stands before it is no part of it"),
    pytest.param(b'[1] "],}{\\ ', messages("1"), id="nor what follows it"),
    pytest.param(b"[1]\n[2]", messages("1", "2"), id="one array after another"),
    pytest.param(b"[1,2", "the JSON array of the answer was never closed", id="cut"),
    pytest.param(b"[1][2", "the JSON array of the answer was never closed", id="the second array cut"),
    pytest.param(b'["]', "the JSON array of the answer was never closed", id="cut inside a string"),
    pytest.param(b"", "the JSON array of the answer was never closed", id="nothing"),
]


@pytest.mark.parametrize(("body", "outcome"), JSON_ARRAY_VECTORS)
def test_a_json_array_reads_the_same_however_it_is_cut(body: bytes, outcome: list[Record] | str) -> None:
    for chunks in every_cutting(body):
        assert outcome_of(JsonArray(), chunks) == outcome, chunks


def test_an_element_is_handed_out_as_soon_as_it_is_known_to_have_ended() -> None:
    framing = JsonArray()

    fed = [framing.feed(chunk) for chunk in (b'[{"a"', b":1}", b",1", b",{}]")]

    assert fed == [[], messages('{"a":1}'), [], messages("1", "{}")]


# --- a delimiter ----------------------------------------------------------------------------------

DELIMITER_VECTORS = [
    pytest.param(b"\0", b"a\0b\0", messages("a", "b"), id="NUL"),
    pytest.param(b"|||", b"a|||b|||c", messages("a", "b", "c"), id="without one at the end"),
    pytest.param(b"|||", b"a||b||||c|||||", messages("a||b", "|c", "||"), id="parts of it are data"),
    pytest.param(b"aab", b"aaab aabaab", messages("a", " "), id="it may overlap itself"),
    pytest.param(b"\n\n", b"a\nb\n\n\nc", messages("a\nb", "\nc"), id="two line feeds"),
    pytest.param(b"--", b"--a----b", messages("a", "b"), id="empty records are dropped"),
    pytest.param(b"|", b"Hello| |world|\n|", messages("Hello", " ", "world", "\n"), id="blank records are text"),
    pytest.param("→".encode(), "é→€→".encode(), messages("é", "€"), id="characters of several bytes"),
    pytest.param(b"\0", b"\xe2\x82\0\xac", messages("\ufffd", "\ufffd"), id="not UTF-8"),
    pytest.param(b"\0", b"", [], id="nothing"),
]


@pytest.mark.parametrize(("delimiter", "body", "records"), DELIMITER_VECTORS)
def test_delimited_records_read_the_same_however_they_are_cut(
    delimiter: bytes, body: bytes, records: list[Record]
) -> None:
    for chunks in every_cutting(body):
        assert records_of(Delimiter(delimiter), chunks) == records, chunks


def test_an_empty_delimiter_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Delimiter(b"")


# --- any stream, any cutting ----------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        b"data", b"data: ", b"data:", b"event: x", b"error: e", b"id: 1", b": ping", b":", b" ", b"a", b"[DONE]",
        b"\n", b"\r", b"\r\n", b"\n\n", BOM, b"\xef", b"\0", b"\x1e", b"\xff", "€".encode(), "😀".encode(),
        "\u2028".encode(), "\x85".encode(), b"\x0b", b'{"a":1}', b'"', b"\\", b"[", b"]", b"{", b"}", b",", b"|", b"||",
    ]
)  # fmt: skip
_BODIES = st.lists(_PIECES, max_size=30).map(b"".join)
_FRAMINGS = st.sampled_from([SSE, JsonLines, JsonArray, lambda: Delimiter(b"\n"), lambda: Delimiter(b"|||")])


@given(make=_FRAMINGS, body=_BODIES, cuts=st.lists(st.integers(0, 200), max_size=20))
@settings(max_examples=1500, deadline=None)
def test_no_cutting_of_any_body_changes_its_records(make: Callable[[], Framing], body: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:stop] for start, stop in pairwise(places)]
    one_by_one = [body[place : place + 1] for place in range(len(body))]

    whole = outcome_of(make(), [body])

    assert outcome_of(make(), chunks) == whole
    assert outcome_of(make(), one_by_one) == whole


_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _as_events(documents: list[str]) -> bytes:
    return "".join(f"data: {text}\n\n" for text in documents).encode()


def _as_lines(documents: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in documents).encode()


def _as_array(documents: list[str]) -> bytes:
    return f"[{','.join(documents)}]".encode()


def _as_delimited(documents: list[str]) -> bytes:
    return "".join(f"{text}\0" for text in documents).encode()


@pytest.mark.parametrize(
    ("make", "encode"),
    [(SSE, _as_events), (JsonLines, _as_lines), (JsonArray, _as_array), (lambda: Delimiter(b"\0"), _as_delimited)],
    ids=["SSE", "JSON lines", "JSON array", "delimiter"],
)
@given(documents=st.lists(_DOCUMENTS, max_size=4), size=st.integers(1, 9))
@settings(deadline=None)
def test_documents_come_out_as_they_went_in(
    make: Callable[[], Framing], encode: Callable[[list[str]], bytes], documents: list[object], size: int
) -> None:
    body = encode([json.dumps(document, ensure_ascii=False) for document in documents])
    chunks = [body[start : start + size] for start in range(0, len(body), size)]

    assert [parse_json(record.data) for record in records_of(make(), chunks)] == documents


# --- cost and caps --------------------------------------------------------------------------------


@pytest.mark.fault(52)
@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        pytest.param(SSE, b"data: ", b"\n\n", id="SSE"),
        pytest.param(JsonLines, b"", b"\n", id="JSON lines"),
        pytest.param(JsonArray, b"[", b"]", id="JSON array"),
        pytest.param(lambda: Delimiter(b"|||"), b"", b"|||", id="delimiter"),
    ],
)
def test_a_million_chunks_of_one_byte_are_one_record(make: Callable[[], Framing], before: bytes, after: bytes) -> None:
    """If each chunk touched what had come before it, this would not end today."""
    framing = make()
    framing.feed(before)
    early = [record for _ in range(1_000_000) for record in framing.feed(b"x")]

    assert early == []
    assert framing.feed(after) + framing.end() == messages("x" * 1_000_000)


_ENDLESS = [
    pytest.param(SSE, b"data: ", MEGABYTE, id="an SSE line"),
    pytest.param(SSE, b"", b"data: " + MEGABYTE + b"\n", id="SSE lines of one event"),
    pytest.param(SSE, b"", b"data:\n" * 200_000, id="empty SSE lines of one event"),
    pytest.param(SSE, b": ", MEGABYTE, id="an SSE comment"),
    pytest.param(JsonLines, b"", MEGABYTE, id="a JSON line"),
    pytest.param(JsonArray, b"[", MEGABYTE, id="an element of a JSON array"),
    pytest.param(JsonArray, b'["', MEGABYTE, id="a string in a JSON array"),
    pytest.param(lambda: Delimiter(b"|||"), b"", MEGABYTE, id="a delimited record"),
]


@pytest.mark.fault(52)
@pytest.mark.parametrize(("make", "start", "more"), _ENDLESS)
def test_a_record_without_end_is_refused_before_it_fills_the_memory(
    make: Callable[[], Framing], start: bytes, more: bytes
) -> None:
    framing = make()
    flood = chain([start], repeat(more, RECORD_LIMIT // len(more) + 1))

    with pytest.raises(ProviderFailed, match="longer than 16 MB"):
        [framing.feed(chunk) for chunk in flood]


_AROUND = [
    pytest.param(SSE, b"data: ", b"\n\n", len(b"data: \n"), id="SSE"),
    pytest.param(JsonLines, b"", b"\n", 0, id="JSON lines"),
    pytest.param(JsonArray, b"[", b"]", 0, id="JSON array"),
    pytest.param(lambda: Delimiter(b"|||"), b"", b"|||", 0, id="delimiter"),
]


@pytest.mark.parametrize(("make", "before", "after", "spare"), _AROUND)
def test_a_record_that_just_keeps_to_the_limit_is_read(
    make: Callable[[], Framing], before: bytes, after: bytes, spare: int
) -> None:
    size = RECORD_LIMIT - spare
    body = before + b"x" * size + after

    (whole,) = records_of(make(), [body])
    (in_pieces,) = records_of(make(), [body[: size // 2], body[size // 2 : -len(after)], after])

    assert len(whole.data) == len(in_pieces.data) == size


@pytest.mark.parametrize(("make", "before", "after", "spare"), _AROUND)
def test_a_record_over_the_limit_is_refused_in_one_piece_or_many(
    make: Callable[[], Framing], before: bytes, after: bytes, spare: int
) -> None:
    body = before + b"x" * (RECORD_LIMIT + 1) + after
    for chunks in ([body], [body[:1000], body[1000:]], [body[:-4], body[-4:]]):
        with pytest.raises(ProviderFailed, match="longer than 16 MB"):
            records_of(make(), chunks)


@pytest.mark.fault(53)
@pytest.mark.parametrize(
    ("make", "record"),
    [
        pytest.param(SSE, b"data: " + MEGABYTE + b"\n\n", id="SSE"),
        pytest.param(JsonLines, MEGABYTE + b"\n", id="JSON lines"),
        pytest.param(JsonArray, b"[" + MEGABYTE + b"]", id="JSON array"),
        pytest.param(lambda: Delimiter(b"|||"), MEGABYTE + b"|||", id="delimiter"),
    ],
)
def test_a_stream_may_be_longer_than_any_record(make: Callable[[], Framing], record: bytes) -> None:
    framing = make()

    assert sum(len(framing.feed(record)) for _ in range(40)) == 40


# --- keep-alives ----------------------------------------------------------------------------------


def grows(framing: Framing, chunk: bytes) -> bool:
    """Whether a chunk counts as a sign of life, and as nothing else."""
    before = framing.keep_alives
    assert framing.feed(chunk) == []
    return framing.keep_alives > before


@pytest.mark.parametrize(
    ("make", "chunk"),
    [
        pytest.param(SSE, b": OPENROUTER PROCESSING\n\n", id="an SSE comment"),
        pytest.param(SSE, b":\n", id="an empty SSE comment"),
        pytest.param(SSE, b"\n", id="a blank line"),
        pytest.param(SSE, b"event: ping\n\n", id="an SSE event without data"),
        pytest.param(JsonLines, b"\n", id="a blank line between JSON lines"),
        pytest.param(JsonLines, b" \r\n", id="a line of blanks between JSON lines"),
        pytest.param(lambda: Delimiter(b"|||"), b"|||", id="an empty record"),
    ],
)
def test_a_sign_of_life_is_counted_each_time(make: Callable[[], Framing], chunk: bytes) -> None:
    framing = make()

    assert grows(framing, chunk)
    assert grows(framing, chunk)


@pytest.mark.parametrize(
    ("make", "chunk"),
    [
        pytest.param(SSE, b"data: a\n", id="a line of an SSE event"),
        pytest.param(SSE, b"event: x\nid: 1\n", id="the beginning of an SSE event"),
        pytest.param(SSE, b": pi", id="a part of an SSE comment"),
        pytest.param(JsonLines, b'{"a"', id="a part of a JSON line"),
        pytest.param(lambda: Delimiter(b"|||"), b"a||", id="a part of a delimiter"),
        pytest.param(SSE, b"", id="no bytes at all"),
        pytest.param(JsonLines, b"", id="no bytes of JSON lines"),
        pytest.param(lambda: Delimiter(b"|||"), b"", id="no bytes of delimited records"),
    ],
)
def test_a_part_of_something_is_no_sign_of_life(make: Callable[[], Framing], chunk: bytes) -> None:
    assert not grows(make(), chunk)


@pytest.mark.parametrize(
    ("make", "body"),
    [
        pytest.param(SSE, b"data: a\n\ndata: b\n\n", id="SSE"),
        pytest.param(JsonLines, b"1\n2\n", id="JSON lines"),
        pytest.param(JsonArray, b"[1,2]", id="JSON array"),
        pytest.param(lambda: Delimiter(b"|"), b"1|2|", id="delimiter"),
    ],
)
def test_a_stream_of_nothing_but_records_has_no_keep_alives(make: Callable[[], Framing], body: bytes) -> None:
    framing = make()
    records_of(framing, [body])

    assert framing.keep_alives == 0


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.fault(51)
@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_does_not_know_is_refused_by_name(constant: str) -> None:
    for text in (constant, f'{{"a": [1, {constant}]}}'):
        with pytest.raises(ProviderFailed, match=f"{constant} is not JSON"):
            parse_json(text)
        with pytest.raises(ProviderFailed, match=f"{constant} is not JSON"):
            list(parse_json_stream(text))


@pytest.mark.fault(50)
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_endless_nesting_is_an_error_of_the_provider_and_not_a_crash(opening: str) -> None:
    text = opening * 200_000
    with pytest.raises(ProviderFailed, match="nested too deeply") as caught:
        parse_json(text)
    with pytest.raises(ProviderFailed, match="nested too deeply"):
        list(parse_json_stream(text))

    assert len(caught.value.message) < 300


@pytest.mark.fault(50)
def test_an_event_stream_that_ends_in_endless_nesting_drops_it() -> None:
    assert records_of(SSE(), [b"data: a\n\ndata: " + b"[" * 200_000]) == messages("a")


@pytest.mark.fault(51)
def test_a_number_of_five_thousand_digits_is_an_error_of_the_provider() -> None:
    with pytest.raises(ProviderFailed, match="malformed JSON") as caught:
        parse_json('{"n": ' + "9" * 5000 + "}")

    assert len(caught.value.message) < 300


def test_a_number_of_four_thousand_digits_is_a_number() -> None:
    assert parse_json("1" + "0" * 4000) == 10**4000


@pytest.mark.fault(51)
def test_half_a_surrogate_pair_is_accepted() -> None:
    assert parse_json(r'{"text": "a\ud83d"}') == {"text": "a\ud83d"}


@pytest.mark.fault(51)
def test_of_two_equal_keys_the_last_counts() -> None:
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    "text", ["", " ", "{", '{"a" 1}', "[1,]", "{'a': 1}", '{"a": 1} x', "{} {}", "\ufeff{}", "<html>"]
)
def test_what_is_no_json_is_an_error_of_the_provider(text: str) -> None:
    with pytest.raises(ProviderFailed, match="malformed JSON from the provider at character"):
        parse_json(text)


@pytest.mark.fault(48)
def test_the_error_shows_the_place_and_what_stands_there() -> None:
    with pytest.raises(ProviderFailed) as caught:
        parse_json('{"choices": [{"delta" "hello"}]}')

    assert caught.value.message == (
        'malformed JSON from the provider at character 22 (Expecting \':\' delimiter): {"choices": [{"delta" "hello"}]}'
    )


@pytest.mark.fault(48)
@pytest.mark.parametrize("filler", ["x", "😀", "\x1b", "\n", "\ud800", "\\"])
@pytest.mark.parametrize("before", [0, 30, 5000])
def test_the_error_shows_eighty_escaped_characters_at_most(filler: str, before: int) -> None:
    text = "[" + '"' * 2 + " " * before + "!" + filler * 5000

    with pytest.raises(ProviderFailed) as caught:
        parse_json(text)
    said, excerpt = caught.value.message.split("): ")
    shown = excerpt.strip("…")

    assert said == f"malformed JSON from the provider at character {before + 3} (Expecting ',' delimiter"
    assert (excerpt.startswith("…"), excerpt.endswith("…")) == (before > 40, True)
    assert len(shown) <= 80
    assert "!" in shown
    assert shown.isascii()
    assert shown.isprintable()


def problem_with(text: str) -> str:
    """What is said about a text that is no JSON."""
    try:
        parse_json(text)
    except ProviderFailed as error:
        return error.message
    return ""


@given(text=st.text(alphabet=st.characters(codec=None), max_size=300))
def test_any_text_parses_or_is_refused_with_a_short_message(text: str) -> None:
    shown = problem_with(text)

    assert len(shown) < 300
    assert shown.replace("…", "").isascii()


def test_documents_glued_together_are_read_one_by_one() -> None:
    assert list(parse_json_stream('{"a":1}{"b":2} \r\n\t[3]"four" 5 null')) == [
        {"a": 1},
        {"b": 2},
        [3],
        "four",
        5,
        None,
    ]


@pytest.mark.parametrize("blank", ["", " ", "\r\n\t "])
def test_a_blank_record_holds_no_document(blank: str) -> None:
    assert list(parse_json_stream(blank)) == []


def test_blanks_around_a_document_do_not_matter() -> None:
    assert list(parse_json_stream(' \n{"a":1}\n ')) == [{"a": 1}]


def test_documents_before_a_malformed_one_are_handed_out() -> None:
    documents = parse_json_stream('{"a":1}{"b"')

    assert next(documents) == {"a": 1}
    with pytest.raises(ProviderFailed, match="at character 11"):
        next(documents)


def test_a_body_is_decoded_without_its_byte_order_mark_and_whatever_it_holds() -> None:
    assert decode_body(BOM + "€".encode() + b"\xff") == "€\ufffd"
    assert decode_body(BOM + BOM) == "\ufeff"
