"""What is said to a server and what is made of its answers, through the driver and over real connections."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from llmcli.answer import Call, Fold, answer, native_call
from llmcli.deadlines import Deadlines
from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ConfigurationError,
    ContextTooLong,
    Incomplete,
    LlmError,
    NetworkFailed,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    TimedOut,
    UnknownModel,
)
from llmcli.provider import ApiKey
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import (
    ChatRequest,
    Finish,
    Message,
    Model,
    ProviderConfig,
    Reply,
    Text,
    TextDelta,
    Thinking,
    Timeouts,
    ToolCall,
    Usage,
    message,
)
from websocket_server import Client, Script, Server
from websockets.frames import Opcode

from llmcli_websocket import WebSocket

Serve = Callable[..., Server]

KEY = "ws-key-0123456789"
PLACE = "config.toml: providers.ws"
HELLO = (message("system", "Be brief."), message("user", "Héllo 🦙"))
DONE = {"type": "done", "model": "m-1", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def chunk(text: str) -> dict[str, Any]:
    return {"type": "chunk", "text": text}


def made(base_url: str | None, own: dict[str, Any] | None = None, place: ApiKey | None = None) -> WebSocket:
    """A provider whose tables are these; `place` is where the configuration wants the key."""
    provider = WebSocket(ProviderConfig("ws", base_url=base_url, own=own or {}, place=PLACE))
    if place is not None:
        provider.api_key = place
    return provider


def calling(key: str | None = None, **options: Any) -> Call:
    return Call(Transport(env={}), key, retry=RetryPolicy(retries=0), **options)


def ask(
    server: Server,
    own: dict[str, Any] | None = None,
    *,
    messages: tuple[Message, ...] = HELLO,
    call: Call | None = None,
    place: ApiKey | None = None,
    **said: Any,
) -> Reply:
    """The whole answer to a question."""
    provider = made(server.base_url, own, place)
    fold = Fold("ws", "m", keep=True)
    request = ChatRequest(provider.default_model or "m", messages, **said)
    for _ in fold.watch(answer(provider, request, call or calling())):
        pass
    return fold.reply()


def fails(server: Server, own: dict[str, Any] | None = None, **options: Any) -> LlmError:
    with pytest.raises(LlmError) as caught:
        ask(server, own, **options)
    return caught.value


def after(count: int, *documents: Any) -> Script:
    """Say these when so many messages have come."""

    def script(client: Client) -> None:
        for _ in range(count):
            client.hear()
        client.say(*documents)

    return script


# --- the guide's protocol, and its richer form ----------------------------------------------------


def test_the_guides_protocol_needs_no_more_than_the_url(serve: Serve) -> None:
    server = serve(after(2, chunk("Grüße "), chunk("🦙\nbis bald."), DONE))
    reply = ask(server, call=calling(KEY), temperature=0.5, max_tokens=9, stop=("x",), options={"style": "plain"})

    assert reply.message.parts == (Text("Grüße 🦙\nbis bald."),)
    assert (reply.model, reply.usage, reply.finish) == ("m-1", Usage(3, 2, 5), Finish("stop"))
    auth, generate = server.client.said
    assert auth == {"type": "auth", "token": KEY}
    assert generate.pop("id")
    assert generate == {
        "type": "generate",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Héllo 🦙"}],
        "options": {"temperature": 0.5, "max_tokens": 9, "stop": ["x"], "style": "plain"},
    }


def test_without_a_key_nothing_is_said_about_one(serve: Serve) -> None:
    server = serve(after(1, chunk("hi"), DONE))
    ask(server)

    assert [each["type"] for each in server.client.said] == ["generate"]


def test_a_model_that_was_chosen_is_named(serve: Serve) -> None:
    server = serve(after(1, chunk("hi"), DONE))
    list(answer(made(server.base_url), ChatRequest("big", HELLO), calling()))

    assert server.client.said[0]["model"] == "big"


def test_the_richer_form_has_ids_reasons_and_acknowledgements(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.hear()
        client.say({"type": "auth_ok"})
        ours = client.hear()["id"]
        client.say({**chunk("mine"), "id": ours}, {**chunk("another's"), "id": "r0"}, {"type": "done", "id": "r0"})
        client.say({"type": "done", "id": ours, "finish_reason": "length"})

    events: list[tuple[str, dict[str, object]]] = []
    reply = ask(serve(script), call=calling(KEY, log=lambda event, /, **fields: events.append((event, fields))))

    assert reply.message.text == "mine"
    assert reply.finish == Finish("length", "length")
    assert events == [("ignored", {"id": "r0"}), ("ignored", {"id": "r0"})]


def test_a_server_with_ids_of_its_own_is_not_waited_for_and_what_to_do_is_said(serve: Serve) -> None:
    theirs = ({**chunk("hi"), "id": "cmpl-1"}, {**DONE, "id": "cmpl-1"})
    error = fails(serve(after(1, *theirs)))

    assert type(error) is ProviderFailed
    assert "an answer ended whose id is cmpl-1" in error.message
    assert error.hint == 'id = "" under [providers.ws.chat] takes answers of any id'
    assert ask(serve(after(1, *theirs)), {"chat": {"id": ""}}).message.text == "hi"


def test_messages_of_unknown_kinds_say_nothing(serve: Serve) -> None:
    server = serve(
        after(1, {"type": "queued", "position": 3}, chunk("a"), {"type": "metrics"}, 7, [], chunk("b"), DONE)
    )

    assert ask(server).message.text == "ab"


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        ({"type": "error", "error": "out of order"}, ProviderFailed, "out of order"),
        ({"type": "error", "error": {"message": "out of order"}}, ProviderFailed, "out of order"),
        ({"type": "error"}, ProviderFailed, "no explanation"),
        ({"error": "out of order"}, ProviderFailed, "out of order"),
        ({"type": "error", "error": "Invalid token"}, AuthenticationFailed, "Invalid token"),
        ({"type": "error", "code": "unauthorized", "message": "who?"}, AuthenticationFailed, "who?"),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, Busy, "slow"),
        ({"type": "error", "code": 429, "message": "slow"}, Busy, "slow"),
        ({"type": "error", "code": "insufficient_quota", "message": "pay"}, QuotaExceeded, "pay"),
        ({"type": "error", "code": "model_not_found", "message": "m?"}, UnknownModel, "m?"),
        ({"type": "error", "code": "context_length_exceeded", "message": "long"}, ContextTooLong, "long"),
        ({"type": "error", "code": 400, "message": "no"}, RequestRejected, "no"),
    ],
)
def test_an_error_of_either_form_is_the_error_that_it_means(
    serve: Serve, document: Any, kind: type[LlmError], words: str
) -> None:
    error = fails(serve(after(1, document)))

    assert type(error) is kind
    assert words in error.message
    assert error.provider == "ws"


def test_a_server_says_whether_asking_again_can_help(serve: Serve) -> None:
    assert fails(serve(after(1, {"type": "error", "message": "x", "retryable": True}))).retry_ok is True
    assert fails(serve(after(1, {"type": "error", "message": "x", "retryable": False}))).retry_ok is False


def test_an_error_behind_text_makes_the_answer_incomplete(serve: Serve) -> None:
    error = fails(serve(after(1, chunk("Once"), {"type": "error", "error": "out of order"})))

    assert type(error) is Incomplete
    assert "out of order" in error.message


def test_a_message_that_is_no_json_is_an_error_that_shows_it(serve: Serve) -> None:
    assert "<html>" in fails(serve(after(1, "<html>"))).message


def test_text_that_is_no_text_is_an_error_that_says_where(serve: Serve) -> None:
    error = fails(serve(after(1, {"type": "chunk", "text": 7})))

    assert f"{PLACE}.chat.delta should find a string" in error.message


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "name"), [(1000, "normal closure"), (1001, "going away"), (1011, "internal error")])
def test_an_answer_that_is_cut_by_a_close_is_incomplete_and_names_the_code(serve: Serve, code: int, name: str) -> None:
    def script(client: Client) -> None:
        after(1, chunk("Once"))(client)
        client.close(code, "because")

    error = fails(serve(script))

    assert type(error) is Incomplete
    assert f"{code} ({name}): because" in error.message


def test_a_close_without_a_reason_says_which_end_did_not_come(serve: Serve) -> None:
    def script(client: Client) -> None:
        after(1, {"t": "Once"}, {"t": "", "done": 1})(client)
        client.close(1000)

    own = {"chat": {"request": "{ask: messages}", "delta": "t", "end": "stop"}}
    error = fails(serve(script), own)

    assert type(error) is Incomplete
    assert f"{PLACE}.chat.end (stop) was true of none of its 2 records" in error.message
    assert "an object with t, done" in error.message


def test_a_connection_that_just_ends_is_no_end(serve: Serve) -> None:
    def script(client: Client) -> None:
        after(1, chunk("Once"))(client)
        client.reset()

    assert type(fails(serve(script))) is Incomplete


@pytest.mark.parametrize(
    ("code", "kind"), [(1000, ProviderFailed), (1006, NetworkFailed), (1008, AuthenticationFailed), (1013, Busy)]
)
def test_a_close_before_any_text_is_the_error_that_the_code_means(
    serve: Serve, code: int, kind: type[LlmError]
) -> None:
    def script(client: Client) -> None:
        client.hear()
        if code == 1006:
            client.hang_up()
        else:
            client.close(code)

    error = fails(serve(script))

    assert type(error) is kind
    assert str(code) in error.message


def test_a_server_that_is_silent_is_waited_for_until_the_idle_timeout(serve: Serve) -> None:
    server = serve(after(1, chunk("Once")))
    error = fails(server, call=calling(timeouts=Timeouts(idle=0.3)))

    assert type(error) is Incomplete
    assert "stalled" in error.message
    assert server.client.said[-1]["type"] == "cancel"


def test_a_server_that_never_begins_is_waited_for_until_the_first_timeout(serve: Serve) -> None:
    error = fails(serve(after(1)), call=calling(timeouts=Timeouts(first=0.3)))

    assert type(error) is TimedOut


def test_after_its_end_an_answer_needs_nothing_more(serve: Serve) -> None:
    def script(client: Client) -> None:
        after(1, chunk("all"), DONE)(client)
        client.hang_up()

    assert ask(serve(script)).message.text == "all"


def test_who_stops_reading_cancels_the_answer_and_closes(serve: Serve) -> None:
    server = serve(after(1, chunk("Once"), chunk(" upon")))
    with closing(answer(made(server.base_url), ChatRequest("m", HELLO), calling())) as events:
        assert next(event for event in events if isinstance(event, TextDelta)) == TextDelta("Once")

    generate, cancel = server.client.said
    assert cancel == {"type": "cancel", "id": generate["id"]}
    assert server.client.left == 1000


def test_an_answer_that_is_complete_is_not_cancelled(serve: Serve) -> None:
    server = serve(after(1, chunk("all"), DONE))
    ask(server)

    assert [each["type"] for each in server.client.said] == ["generate"]
    assert server.client.left == 1000


# --- frames ---------------------------------------------------------------------------------------


def test_binary_messages_hold_json_too(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.hear()
        for document in (chunk("Grüße"), DONE):
            client.frame(Opcode.BINARY, json.dumps(document, ensure_ascii=False).encode())

    server = serve(script)
    assert ask(server, {"connection": {"binary": True}}).message.text == "Grüße"
    assert isinstance(server.client.raw[0], bytes)


def test_a_message_may_come_in_fragments_with_pings_between(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.hear()
        data = json.dumps(chunk("Grüße 🦙"), ensure_ascii=False).encode()
        client.frame(Opcode.TEXT, data[:29], fin=False)
        client.frame(Opcode.PING, b"are you there?")
        client.frame(Opcode.CONT, data[29:30], fin=False)
        client.frame(Opcode.CONT, data[30:])
        client.say(DONE)

    assert ask(serve(script)).message.text == "Grüße 🦙"


def test_pings_stretch_the_wait_for_the_first_word(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.hear()
        for _ in range(8):
            client.frame(Opcode.PING)
            client.gone.wait(0.1)
        client.say(chunk("at last"), DONE)

    assert ask(serve(script), call=calling(timeouts=Timeouts(first=0.5))).message.text == "at last"


def test_pings_of_the_application_are_answered_as_configured(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.hear()
        client.say({"type": "ping", "at": 7})
        client.say(chunk(json.dumps(client.hear())), DONE)

    own = {"connection": {"ping": "type == 'ping'", "pong": "{type: 'pong', at: at}"}}
    assert ask(serve(script), own).message.text == '{"type": "pong", "at": 7}'


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, RequestRejected),
        (426, RequestRejected),
        (429, Busy),
        (500, ProviderFailed),
        (503, Busy),
    ],
)
def test_a_handshake_that_is_declined_is_an_answer_as_any(serve: Serve, status: int, kind: type[LlmError]) -> None:
    declined = serve(lambda client: client.answer(status, '{"error": "because"}', "Retry-After: 7"), agree=False)
    error = fails(declined, call=calling(KEY))

    assert type(error) is kind
    assert (error.http_status, error.retry_after) == (status, 7.0)
    assert "because" in error.message


def test_a_server_without_websocket_is_named(serve: Serve) -> None:
    error = fails(serve(lambda client: client.answer(200, "<html>Welcome"), agree=False))

    assert type(error) is ProviderFailed
    assert "does not speak WebSocket" in error.message


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    moved = serve(lambda client: client.answer(307, "", "Location: wss://elsewhere.example/"), agree=False)
    error = fails(moved)

    assert type(error) is ProviderFailed
    assert "elsewhere.example" in error.message


def test_a_handshake_that_proves_nothing_is_refused(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.headers["sec-websocket-key"] = "another"
        client.agree()

    error = fails(serve(script, agree=False))
    assert type(error) is ProviderFailed
    assert "handshake" in error.message


def test_a_subprotocol_that_was_not_offered_is_refused(serve: Serve) -> None:
    error = fails(serve(lambda client: client.agree("Sec-WebSocket-Protocol: other"), agree=False))

    assert type(error) is ProviderFailed
    assert "subprotocol" in error.message


def test_configured_headers_are_sent_and_a_path_names_the_model(serve: Serve) -> None:
    server = serve(after(1, chunk("hi"), DONE))
    config = ProviderConfig(
        "ws",
        base_url=server.base_url + "/v1/",
        headers={"X-Team": "blue"},
        own={"connection": {"path": "/talk?model={model}"}},
        place=PLACE,
    )
    list(answer(WebSocket(config), ChatRequest("a b/c", HELLO), calling()))

    assert server.client.path == "/v1/talk?model=a%20b/c"
    assert server.client.headers["x-team"] == "blue"


# --- the key --------------------------------------------------------------------------------------


def test_a_key_may_go_into_a_header_and_then_goes_nowhere_else(serve: Serve) -> None:
    server = serve(after(1, chunk("hi"), DONE))
    ask(server, call=calling(KEY), place=ApiKey(header="X-Key", scheme=""))

    assert server.client.headers["x-key"] == KEY
    assert KEY not in str(server.client.said)


def test_a_scheme_alone_means_the_usual_header(serve: Serve) -> None:
    server = serve(after(1, chunk("hi"), DONE))
    ask(server, call=calling(KEY), place=ApiKey(header="", scheme="Bearer"))

    assert server.client.headers["authorization"] == f"Bearer {KEY}"


def test_a_key_may_go_into_the_query(serve: Serve) -> None:
    server = serve(after(1, chunk("hi"), DONE))
    ask(server, call=calling(KEY), place=ApiKey(header="", scheme="", query="token"))

    assert server.client.path == f"/?token={KEY}"


def test_a_key_may_go_into_a_subprotocol(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.agree("Sec-WebSocket-Protocol: chat.v1")
        after(1, chunk("hi"), DONE)(client)

    server = serve(script, agree=False)
    own = {"connection": {"subprotocols": "['chat.v1', join('.', ['key', key])]", "auth": ""}}
    ask(server, own, call=calling(KEY))

    assert server.client.headers["sec-websocket-protocol"] == f"chat.v1, key.{KEY}"
    assert [each["type"] for each in server.client.said] == ["generate"]


def test_a_key_that_has_no_place_is_a_mistake_of_the_configuration(serve: Serve) -> None:
    error = fails(serve(after(1)), {"connection": {"auth": ""}}, call=calling(KEY))

    assert type(error) is ConfigurationError
    assert "the key has no place to go" in error.message


READY = {"connection": {"ready": "type == 'auth_ok'"}}


def test_the_request_waits_until_the_server_lets_us_in(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.hear()
        client.say({"type": "welcome"}, {"type": "auth_ok"})
        client.hear()
        client.say(chunk("in"), DONE)

    assert ask(serve(script), READY, call=calling(KEY)).message.text == "in"


@pytest.mark.parametrize("error", ["nobody knows you", {"message": "nobody knows you"}])
def test_an_error_instead_of_being_let_in_is_about_the_key_and_nothing_is_asked(serve: Serve, error: object) -> None:
    server = serve(after(1, {"type": "error", "error": error}))
    failed = fails(server, READY, call=calling(KEY))

    assert type(failed) is AuthenticationFailed
    assert "nobody knows you" in failed.message
    assert failed.http_status is None
    assert [each["type"] for each in server.client.said] == ["auth"]


def test_a_server_that_closes_instead_of_letting_us_in_is_understood(serve: Serve) -> None:
    def script(client: Client) -> None:
        client.hear()
        client.close(4401, "no such key")

    assert type(fails(serve(script), READY, call=calling(KEY))) is AuthenticationFailed


# --- protocols of another kind --------------------------------------------------------------------


def test_messages_may_be_the_text_itself_and_end_with_a_sentinel(serve: Serve) -> None:
    own = {"chat": {"request": "prompt", "record": "text", "end": "[DONE]"}}
    server = serve(after(1, "Once", " ", "upon", " a time", "[DONE]"))

    assert ask(server, own, messages=HELLO[1:]).message.text == "Once upon a time"
    assert server.client.raw == ["Héllo 🦙"]


def test_where_a_normal_close_is_the_end_any_other_is_none(serve: Serve) -> None:
    def closing_with(code: int) -> Script:
        def script(client: Client) -> None:
            after(1, "Once", " upon")(client)
            client.close(code)

        return script

    own = {"chat": {"request": "prompt", "record": "text", "end": "eof"}}
    assert ask(serve(closing_with(1000)), own, messages=HELLO[1:]).message.text == "Once upon"
    assert type(fails(serve(closing_with(1001)), own, messages=HELLO[1:])) is Incomplete


def test_a_table_with_a_request_of_its_own_assumes_nothing(serve: Serve) -> None:
    own = {"chat": {"request": "{ask: messages}", "delta": "t", "end": "stop"}}
    server = serve(after(1, {"t": "a", "id": "theirs"}, {"t": "b", "stop": True}))
    ask(server, own)

    assert list(server.client.said[0]) == ["ask"]


def test_a_request_may_be_several_messages(serve: Serve) -> None:
    own = {
        "chat": {
            "request": "[messages[].{say: content}, [{go: vars.how}]][]",
            "delta": "t",
            "end": "stop",
        },
        "vars": {"how": "fast"},
    }
    server = serve(after(3, {"t": "ok", "stop": True}))
    ask(server, own)

    assert server.client.said == [{"say": "Be brief."}, {"say": "Héllo 🦙"}, {"go": "fast"}]


def test_thinking_and_tool_calls_are_read_where_the_table_says(serve: Serve) -> None:
    own = {"chat": {"thinking": "if(type == 'thought', text)", "tool_calls": "if(type == 'call', [@])"}}
    call = {"type": "call", "name": "look_up", "arguments": {"x": 1}}
    server = serve(after(1, {"type": "thought", "text": "Hm."}, chunk("So:"), call, DONE))
    reply = ask(server, own)

    thought, text, tool_call = reply.message.parts
    assert (thought, text) == (Thinking("Hm."), Text("So:"))
    assert isinstance(tool_call, ToolCall)
    assert (tool_call.name, tool_call.arguments) == ("look_up", '{"x": 1}')
    assert reply.finish.reason == "tool_calls"
    assert made(None, own).capabilities.names() == ("chat", "stream", "thinking")
    asking = {"request": "{messages: messages, functions: tools}", "delta": "text", "end": "done"}
    assert made(None, {"chat": {**own["chat"], **asking}}).capabilities.tools, "what is told and read can be called"


# --- what is wrong with a table -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "where", "words"),
    [
        ({"chat": {"delta": "text[", "end": "e"}}, "chat.delta", "it ends too early at column 6"),
        ({"chat": {"request": "{m: mesages}", "delta": "t", "end": "e"}}, "chat.request", "unknown name mesages"),
        ({"chat": {"request": "`7`", "delta": "t", "end": "e"}}, "chat.request", "should make an object, a text"),
        ({"chat": {"request": "`[]`", "delta": "t", "end": "e"}}, "chat.request", "should make an object, a text"),
        ({"chat": {"request": ""}}, "chat.request", "is missing"),
        ({"chat": {"request": "prompt", "end": "e"}}, "chat.delta", "is missing"),
        ({"chat": {"request": "prompt", "delta": "t"}}, "chat.end", "is missing"),
        ({"chat": {"record": "event"}}, "chat.record", "`json` or `text`"),
        ({"chat": {"cancel": "frobnicate(id)"}}, "chat.cancel", "unknown function frobnicate() at column 1"),
        ({"chat": {"cancel": "max_tokens"}}, "chat.cancel", "should make an object or a text, but it makes null"),
        ({"connection": {"auth": "{t: token}"}}, "connection.auth", "unknown name token"),
        ({"connection": {"ready": "type =="}}, "connection.ready", "it ends too early"),
        ({"connection": {"path": "talk"}}, "connection.path", "should begin with `/`"),
        ({"connection": {"ping": "type == 'ping'"}}, "connection", "`ping` and `pong` belong together"),
        ({"connection": {"subprotocols": "'chat'"}}, "connection.subprotocols", "should make a list of names"),
        ({"connection": {"subprotocols": "['a b']"}}, "connection.subprotocols", "no subprotocol may have"),
    ],
)
def test_a_mistake_in_a_table_is_found_at_once_and_said_where(own: dict[str, Any], where: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made("ws://x", own)

    assert caught.value.message.startswith(f"{PLACE}.{where}")
    assert words in caught.value.message


def test_what_no_expression_uses_is_refused_before_anything_is_sent(serve: Serve) -> None:
    server = serve(after(1))
    own = {"chat": {"request": "{p: prompt}", "delta": "t", "end": "e"}}
    error = fails(server, own, messages=HELLO[1:], seed=7)

    assert type(error) is RequestRejected
    assert error.message == "ws cannot be told seed: no expression of it uses that"
    assert not server.clients


def test_without_a_base_url_it_is_said_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="ws has no base URL"):
        list(answer(made(None), ChatRequest("m", HELLO), calling()))


# --- models and health ----------------------------------------------------------------------------


def test_the_models_are_those_of_the_configuration() -> None:
    provider = WebSocket(ProviderConfig("ws", models=("a", "b")))
    call = native_call(provider, calling(), Deadlines(Timeouts(), started=0.0), stream=False)

    assert provider.models(call) == [Model("a"), Model("b")]


def healthy(server: Server, own: dict[str, Any]) -> None:
    provider = made(server.base_url, own)
    provider.health_check(native_call(provider, calling(KEY), Deadlines(Timeouts(), started=0.0), stream=False))


def test_health_connects_says_the_key_and_leaves(serve: Serve) -> None:
    server = serve(after(1, {"type": "auth_ok"}))
    healthy(server, READY)

    assert server.client.said == [{"type": "auth", "token": KEY}]
    assert server.client.left == 1000


def test_health_tells_that_the_key_is_refused(serve: Serve) -> None:
    server = serve(after(1, {"type": "error", "error": "no"}))
    with pytest.raises(AuthenticationFailed):
        healthy(server, READY)
