"""What is sent where, what is read, and what other adapters get wrong."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ConfigurationError,
    ContextTooLong,
    LlmError,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
    UsageError,
)
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    Message,
    Metadata,
    Model,
    ModelPage,
    ProviderConfig,
    TextDelta,
    Usage,
    message,
)

from llmcli_huggingface import HuggingFace

SERVER = "http://127.0.0.1:8080"
LLAMA = "meta-llama/Llama-2-7b-chat-hf"
HELLO = (message("user", "hello"),)


def provider(base_url: str | None = SERVER, **own: Any) -> HuggingFace:
    return HuggingFace(ProviderConfig("huggingface", base_url=base_url, own=own, place="c.toml: providers.huggingface"))


def request(model: str = "openai-community/gpt2", **settings: Any) -> ChatRequest:
    return ChatRequest(model, **{"messages": HELLO, **settings})


def body(model: str = "openai-community/gpt2", *, stream: bool = False, **settings: Any) -> dict[str, Any]:
    sent = provider().chat_request(request(model, **settings), stream=stream)
    decoded: dict[str, Any] = json.loads(sent.body or b"")
    return decoded


def parameters(model: str = "openai-community/gpt2", **settings: Any) -> dict[str, Any]:
    """Those that somebody said."""
    return {
        name: value
        for name, value in body(model, **settings)["parameters"].items()
        if name not in ("details", "return_full_text")
    }


def token(text: str, *, special: bool = False, **last: Any) -> bytes:
    """An event as TGI writes it: without a space after `data:`."""
    made = {"id": 5, "text": text, "logprob": -0.3, "special": special}
    event = {"index": 1, "token": made, "generated_text": None, "details": None, **last}
    return b"data:" + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


def end(text: str = "", *, reason: str = "eos_token", whole: str = "", special: bool = True, **details: Any) -> bytes:
    told = {"finish_reason": reason, "generated_tokens": 3, "input_length": 7, "seed": None, **details}
    return token(text, special=special, generated_text=whole, details=told)


USAGE = Usage(7, 3, 10)


def read(stream: bytes, asked: ChatRequest | None = None) -> list[Event]:
    """The events of a stream through the real framing, and proof that they are the same wherever it is cut."""
    asked = asked or request()
    together = list(events([stream], asked))
    for cut in range(1, len(stream), 5):
        assert list(events([stream[:cut], stream[cut:]], asked)) == together
    assert list(events((stream[place : place + 1] for place in range(len(stream))), asked)) == together
    return together


def events(chunks: Iterable[bytes], asked: ChatRequest) -> Iterator[Event]:
    adapter = provider()
    framing, reader = adapter.framing(), adapter.reader(asked)
    for chunk in chunks:
        for record in framing.feed(chunk):
            yield from reader.feed(record)
    for record in framing.end():
        yield from reader.feed(record)
    yield from reader.end()


def whole(document: object, asked: ChatRequest | None = None) -> list[Event]:
    return list(provider().reader(asked or request()).body(json.dumps(document).encode()))


def text(told: list[Event]) -> str:
    return "".join(each.text for each in told if isinstance(each, TextDelta))


# --- where it is ----------------------------------------------------------------------------------

ROUTER = "https://router.huggingface.co/hf-inference/models"
HISTORIC = "https://api-inference.huggingface.co/models"


@pytest.mark.parametrize(
    ("base_url", "own", "whole_url", "stream_url"),
    [
        (None, {}, f"{ROUTER}/org/m%20x", f"{ROUTER}/org/m%20x"),
        (HISTORIC, {}, f"{HISTORIC}/org/m%20x", f"{HISTORIC}/org/m%20x"),
        ("https://api-inference.huggingface.co/", {}, f"{HISTORIC}/org/m%20x", f"{HISTORIC}/org/m%20x"),
        ("https://router.huggingface.co", {}, f"{ROUTER}/org/m%20x", f"{ROUTER}/org/m%20x"),
        (SERVER, {}, f"{SERVER}/generate", f"{SERVER}/generate_stream"),
        (f"{SERVER}/generate", {}, f"{SERVER}/generate", f"{SERVER}/generate_stream"),
        (f"{SERVER}/generate_stream/", {}, f"{SERVER}/generate", f"{SERVER}/generate_stream"),
        (SERVER, {"route": "hub"}, f"{SERVER}/org/m%20x", f"{SERVER}/org/m%20x"),
        (f"{SERVER}/models", {"route": "tgi"}, f"{SERVER}/models/generate", f"{SERVER}/models/generate_stream"),
    ],
)
def test_the_route_is_that_of_the_key_or_of_the_address(
    base_url: str | None, own: dict[str, Any], whole_url: str, stream_url: str
) -> None:
    adapter = provider(base_url, **own)
    assert adapter.chat_request(request("org/m x"), stream=False).url == whole_url
    assert adapter.chat_request(request("org/m x"), stream=True).url == stream_url


def test_only_the_model_routes_are_told_to_stream() -> None:
    """A server has a route of its own for that."""
    at_hub = provider(None).chat_request(request(), stream=True)
    assert json.loads(at_hub.body or b"")["stream"] is True
    assert "stream" not in json.loads(provider(None).chat_request(request(), stream=False).body or b"")
    assert "stream" not in body(stream=True)


@pytest.mark.parametrize(("key", "value"), [("route", "router"), ("template", "llama-9")])
def test_a_route_or_template_that_there_is_not_is_an_error_of_the_configuration(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"c\.toml: providers\.huggingface\.{key}: '{value}' is none of"):
        provider(**{key: value})


def test_a_server_needs_no_name_of_a_model_and_no_key() -> None:
    assert provider().default_model == "tgi"
    assert provider(None).default_model == "HuggingFaceTB/SmolLM3-3B"
    assert not provider().api_key.required
    sent = provider().chat_request(request(), stream=False)
    assert "Authorization" not in sent.headers
    assert provider().authorize(sent, "hf_k").headers["Authorization"] == "Bearer hf_k"


# --- what is sent ---------------------------------------------------------------------------------


def test_a_prompt_is_sent_and_the_prompt_is_not_wanted_back() -> None:
    """`return_full_text` is true on model routes when nobody says otherwise; without `details` no reason is told."""
    assert body() == {"inputs": "hello", "parameters": {"details": True, "return_full_text": False}}


def test_the_template_is_that_of_the_model_or_of_the_configuration() -> None:
    assert body(LLAMA)["inputs"] == "[INST] hello [/INST]"
    for own, inputs in (
        ({"template": "plain"}, "Human: hello\n\nAssistant:"),
        ({"template": "llama-2", "bos": True}, "<s>[INST] hello [/INST]"),
    ):
        sent = provider(**own).chat_request(request(), stream=False)
        assert json.loads(sent.body or b"")["inputs"] == inputs


def test_settings_go_under_the_names_of_the_api() -> None:
    assert parameters(max_tokens=5, temperature=0.7, top_p=0.9, seed=0, stop=("END",)) == {
        "max_new_tokens": 5,
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 0,
        "stop": ["END"],
    }


def test_a_temperature_of_zero_is_said_as_no_sampling_because_the_api_refuses_it() -> None:
    assert parameters(temperature=0.0) == {"do_sample": False}


def test_a_temperature_of_one_samples_too() -> None:
    """TGI takes 1 for the default and so for greedy, unless it is told to sample."""
    assert parameters(temperature=1.0) == {"do_sample": True, "temperature": 1.0}


def test_a_top_p_of_one_is_no_limit_and_not_sent_because_the_api_refuses_it() -> None:
    assert parameters(top_p=1.0) == {}


@pytest.mark.parametrize(
    "settings",
    [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"max_tokens": 0}, {"seed": -1}],
)
def test_a_setting_out_of_range_is_refused_before_it_is_sent(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        provider().check(request(**settings))
    provider().check(request(temperature=0.0, top_p=1.0, seed=0))


def test_stop_texts_of_the_template_are_sent_as_far_as_there_is_room() -> None:
    assert parameters(LLAMA) == {"stop": ["</s>"]}
    assert parameters(LLAMA, stop=("a", "</s>"))["stop"] == ["</s>", "a"]
    assert parameters(LLAMA, stop=tuple("abcd"))["stop"] == ["a", "b", "c", "d"]


def test_a_fifth_stop_text_is_refused_before_it_is_sent() -> None:
    with pytest.raises(UsageError, match="at most 4 stop texts, and not 5"):
        provider().check(request(stop=tuple("abcde")))


def test_what_the_template_cannot_say_is_refused_before_it_is_sent() -> None:
    with pytest.raises(RequestRejected, match=r"\[/INST\]"):
        provider().check(request(LLAMA, messages=(message("user", "a [/INST] b"),)))
    with pytest.raises(UsageError, match="end with the user"):
        provider().check(request(LLAMA, messages=(message("assistant", "a"),)))


def test_a_text_that_is_to_be_completed_goes_as_it_is() -> None:
    """Whatever the model was trained on, and whatever marks of a template the text has."""
    asked: dict[str, Any] = {"messages": (message("user", " [INST] Once\n"),), "complete": True, "stop": ("END",)}
    adapter = provider(template="llama-2", bos=True)
    adapter.check(request(LLAMA, **asked))
    for stream in (False, True):
        sent = json.loads(adapter.chat_request(request(LLAMA, **asked), stream=stream).body or b"")
        assert sent["inputs"] == " [INST] Once\n"
        assert sent["parameters"]["stop"] == ["END"]


def test_what_follows_a_text_that_was_to_be_completed_is_told_with_its_first_space() -> None:
    """The space in front belongs to a template, and here there is none."""
    asked = request(LLAMA, complete=True)
    assert text(read(token(" upon"), asked)) == " upon"
    assert text(whole({"generated_text": " upon"}, asked)) == " upon"


@pytest.mark.parametrize(
    "said", [(message("system", "Be brief."), *HELLO), (*HELLO, message("assistant", "hi"), *HELLO)]
)
def test_a_conversation_is_no_text_that_could_be_completed(said: tuple[Message, ...]) -> None:
    with pytest.raises(RequestRejected, match="a completion is of one text"):
        provider().check(request(messages=said, complete=True))


def test_an_option_is_a_parameter_and_beats_ours() -> None:
    options = {"top_k": 5, "details": False, "stop": ["x"], "options": {"use_cache": False}}
    sent = body(LLAMA, options=options)
    assert sent["parameters"] == {"details": False, "return_full_text": False, "stop": ["x"], "top_k": 5}
    assert sent["options"] == {"use_cache": False}


def refusal(*names: str) -> LlmError:
    words = f"The following `model_kwargs` are not used by the model: {list(names)} (note: typos will show up too)"
    return provider(None).read_error(400, {}, json.dumps({"error": [words]}).encode())


def test_parameters_of_ours_that_a_small_model_does_not_know_are_left_out() -> None:
    adapter = provider(None)
    asked = request(LLAMA)
    adapted = adapter.adapt(asked, refusal("details", "return_full_text", "stop"))
    assert adapted is not None
    assert json.loads(adapter.chat_request(adapted, stream=False).body or b"")["parameters"] == {}
    assert adapter.adapt(adapted, refusal("details")) is None, "it was left out already"


def test_what_the_user_asked_for_is_never_left_out() -> None:
    adapter = provider(None)
    assert adapter.adapt(request(LLAMA, stop=("x",)), refusal("stop")) is None
    assert adapter.adapt(request(options={"details": True}), refusal("details")) is None
    assert adapter.adapt(request(max_tokens=5), refusal("details", "max_new_tokens")) is None
    assert adapter.adapt(request(), ProviderFailed("boom")) is None


# --- what is read ---------------------------------------------------------------------------------


def test_a_stream_is_read_wherever_it_is_cut_and_its_end_repeats_nothing() -> None:
    stream = token("Ça ") + b":\n\n" + token("va 🦙\u2028") + end("</s>", whole="Ça va 🦙\u2028", seed=42)
    assert read(stream) == [
        TextDelta("Ça "),
        TextDelta("va 🦙\u2028"),
        USAGE,
        Metadata({"seed": 42}),
        Finish("stop", "eos_token"),
    ]


def test_special_tokens_are_not_shown() -> None:
    """huggingface/huggingface_hub#2436: `</s>` leaks otherwise."""
    assert text(read(token("<s>", special=True) + token("hi") + end("</s>", whole="hi"))) == "hi"


def test_the_last_token_is_shown_if_it_is_text() -> None:
    assert text(read(token("a") + end("b", special=False, reason="length", whole="ab"))) == "ab"


@pytest.mark.parametrize("last", [end("", whole="[INST] hello [/INST] Hi."), end("</s>", whole=" Hi.")])
def test_a_stream_whose_only_text_is_that_of_its_last_event_is_not_silent(last: bytes) -> None:
    assert text(read(token("", special=True) + last, request(LLAMA))) == "Hi."


@pytest.mark.parametrize(
    ("raw", "finish"),
    [
        ("eos_token", Finish("stop", "eos_token")),
        ("stop_sequence", Finish("stop", "stop_sequence")),
        ("length", Finish("length", "length")),
        ("a_word_of_next_year", Finish("other", "a_word_of_next_year")),
    ],
)
def test_the_reason_why_the_model_stopped_is_told_in_one_language(raw: str, finish: Finish) -> None:
    assert read(token("hi") + end(reason=raw))[-1] == finish


@pytest.mark.parametrize("pieces", [("a END",), ("a ", "EN", "D"), ("a E", "ND b"), ("a ", "E", "E", "ND")])
def test_a_stop_text_is_no_part_of_the_answer_however_its_tokens_fall(pieces: tuple[str, ...]) -> None:
    asked = request(stop=("END", "\n\n"))
    told = read(b"".join(map(token, pieces)) + end(reason="stop_sequence", whole="?"), asked)
    assert text(told) == "".join(pieces).partition("END")[0]
    assert told[-1] == Finish("stop", "stop_sequence")


def test_what_only_begins_like_a_stop_text_is_part_of_the_answer() -> None:
    assert text(read(token("a EN") + token("TRY E") + token("N") + end(), request(stop=("END",)))) == "a ENTRY EN"


def test_a_stop_text_that_the_server_did_not_stop_at_ends_the_answer_all_the_same() -> None:
    told = read(token("a END b") + end(reason="length"), request(stop=("END",)))
    assert (text(told), told[-1]) == ("a ", Finish("stop", "length"))


def test_nothing_that_follows_a_stop_text_is_part_of_the_answer() -> None:
    assert text(read(token("a ") + token("END") + token(" b") + token(" c") + end(), request(stop=("END",)))) == "a "


def test_a_stop_text_that_repeats_itself_is_found_in_pieces() -> None:
    assert text(read(token("a ##") + token("# b") + end(), request(stop=("###",)))) == "a "


def test_an_empty_stop_text_stops_nothing() -> None:
    assert text(read(token("hi") + end(), request(stop=("",)))) == "hi"


def test_the_stop_text_of_the_template_is_no_part_of_the_answer() -> None:
    told = whole({"generated_text": "hi\nHuman: and you?"}, request("some/model"))
    assert text(told) == "hi"


def test_the_space_that_belongs_to_the_template_is_no_part_of_the_answer() -> None:
    asked = request(LLAMA)
    assert text(read(token(" Hi") + token(" there") + end(), asked)) == "Hi there"
    assert text(whole({"generated_text": "  indented"}, asked)) == " indented"
    assert text(read(token(" Hi") + end())) == " Hi", "a raw prompt has no such space"


@pytest.mark.parametrize("listed", [True, False])
def test_a_whole_answer_is_an_object_or_a_list_of_one(listed: bool) -> None:
    details = {"finish_reason": "length", "generated_tokens": 20, "seed": None, "prefill": [], "tokens": []}
    answer = {"generated_text": "hi", "details": details}
    told = whole([answer] if listed else answer)
    assert told == [TextDelta("hi"), Usage(None, 20, None), Finish("length", "length")]


def test_a_whole_answer_without_details_is_an_answer() -> None:
    assert whole([{"generated_text": "hi"}]) == [TextDelta("hi"), Finish("stop", None)]
    assert whole([{"generated_text": ""}]) == [Finish("stop", None)]


def test_a_prompt_that_comes_back_in_front_of_the_answer_is_taken_off() -> None:
    assert text(whole([{"generated_text": "[INST] hello [/INST] Hi."}], request(LLAMA))) == "Hi."
    without = request(without=frozenset({"return_full_text"}))
    assert text(whole([{"generated_text": "hello world"}], without)) == " world"


def test_an_answer_that_only_begins_like_a_raw_prompt_is_kept() -> None:
    assert text(whole([{"generated_text": "hello hello"}])) == "hello hello"


def test_a_prompt_that_is_wanted_back_is_kept() -> None:
    asked = request(LLAMA, options={"return_full_text": True})
    assert text(whole([{"generated_text": "[INST] hello [/INST] Hi."}], asked)) == "[INST] hello [/INST] Hi."


@pytest.mark.parametrize("document", [{"status": "ok"}, [], [1], "hi", {"generated_text": None}])
def test_a_body_that_is_no_answer_is_an_error(document: object) -> None:
    with pytest.raises(ProviderFailed, match="no generated_text"):
        whole(document)


def test_an_error_under_status_200_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="boom"):
        whole({"error": "boom"})
    with pytest.raises(ProviderFailed, match="boom"):
        whole([{"error": "boom"}])


@pytest.mark.parametrize(
    ("error_type", "words", "expected"),
    [
        ("overloaded", "Model is overloaded", Busy),
        ("generation", "Request failed during generation", ProviderFailed),
        ("incomplete_generation", "Incomplete generation", ProviderFailed),
        ("validation", "Input validation error: `temperature` must be strictly positive", RequestRejected),
        ("validation", "Input validation error: `inputs` must have less than 9 tokens. Given: 10", ContextTooLong),
        ("of_next_year", "boom", ProviderFailed),
    ],
)
def test_an_error_in_a_stream_is_no_token(error_type: str, words: str, expected: type[LlmError]) -> None:
    """huggingface/huggingface_hub#1651, #2034."""
    error = json.dumps({"error": words, "error_type": error_type}).encode()
    with pytest.raises(expected, match=words.split("`")[0]) as caught:
        read(token("hi") + b"data:" + error + b"\n\n")
    assert type(caught.value) is expected


def test_a_field_for_errors_that_holds_none_is_no_error() -> None:
    assert text(read(token("hi", error=None) + end(error=None))) == "hi"


@pytest.mark.parametrize("kept", range(0, 150, 4))
def test_a_stream_that_was_cut_has_no_finish(kept: int) -> None:
    stream = token("hi") + token(" there") + end("</s>", whole="hi there")
    assert kept < len(stream) - 2
    assert not any(isinstance(each, Finish) for each in events([stream[:kept]], request()))


def test_the_end_marker_of_other_routes_says_nothing() -> None:
    assert not any(isinstance(each, Finish) for each in read(token("hi") + b"data: [DONE]\n\n"))


def test_an_answer_is_complete_at_its_last_event_and_not_before() -> None:
    adapter = provider()
    reader, framing = adapter.reader(request()), adapter.framing()
    for record in framing.feed(token("hi")):
        list(reader.feed(record))
    assert not reader.complete
    for record in framing.feed(end()):
        list(reader.feed(record))
    assert reader.complete


# --- errors ---------------------------------------------------------------------------------------

TOO_LONG = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1218 `inputs` tokens"


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        (400, {"error": ["Error in `inputs`: field required"], "warnings": ["slow"]}, RequestRejected),
        (401, {"error": "Invalid credentials in Authorization header"}, AuthenticationFailed),
        (402, {"error": "You have exceeded your monthly included credits"}, QuotaExceeded),
        (403, {"error": "This authentication method does not have sufficient permissions"}, AuthenticationFailed),
        (422, {"error": "Template error: no chat template", "error_type": "template_error"}, RequestRejected),
        (422, {"error": TOO_LONG, "error_type": "validation"}, ContextTooLong),
        (424, {"error": "Request failed during generation", "error_type": "generation"}, ProviderFailed),
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, Busy),
        (429, {"error": "Rate limit reached. Please log in or use a HF access token"}, Busy),
        (500, {"error": "Incomplete generation", "error_type": "incomplete_generation"}, ProviderFailed),
        (503, {"error": "unhealthy", "error_type": "healthcheck"}, Busy),
        (504, {"error": "Model org/m time out"}, ProviderFailed),
    ],
)
def test_every_error_of_the_api_is_told_apart(status: int, document: Any, expected: type[LlmError]) -> None:
    error = provider().read_error(status, {}, json.dumps(document).encode())
    assert type(error) is expected
    words = document["error"]
    assert (words if isinstance(words, str) else words[0]) in error.message


def test_that_a_prompt_is_too_long_is_said_once() -> None:
    error = provider().read_error(422, {}, json.dumps({"error": TOO_LONG, "error_type": "validation"}).encode())
    assert error.message == f"the prompt is too long for the model: {TOO_LONG}"
    reported = {"error": TOO_LONG, "error_type": "validation"}
    with pytest.raises(ContextTooLong) as caught:
        read(b"data:" + json.dumps(reported).encode() + b"\n\n")
    assert caught.value.message == error.message


def test_a_model_that_is_being_loaded_says_how_long_to_wait() -> None:
    loading = {"error": "Model org/m is currently loading", "estimated_time": 20.0}
    error = provider(None).read_error(503, {}, json.dumps(loading).encode())
    assert type(error) is Busy
    assert error.retry_after == 20.0


def test_a_failed_generation_may_be_tried_again() -> None:
    assert provider().read_error(424, {}, b'{"error":"x","error_type":"generation"}').retry_ok is True


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Model not supported by provider hf-inference"),
        (403, "The model org/m is too large to be loaded automatically (16GB > 10GB)."),
        (404, "Not Found"),
    ],
)
def test_a_model_that_the_hub_does_not_serve_is_unknown_and_says_who_may_have_it(status: int, words: str) -> None:
    error = provider(None).read_error(status, {}, json.dumps({"error": words}).encode())
    assert type(error) is UnknownModel
    assert error.message == f"the hub does not serve this model: {words}"
    assert "huggingface-router" in (error.hint or "")


def test_a_wrong_path_of_a_server_is_no_unknown_model() -> None:
    assert type(provider().read_error(404, {}, b"Not Found")) is RequestRejected


# --- models ---------------------------------------------------------------------------------------


def test_a_server_says_which_model_it_has() -> None:
    asked = provider().models_request()
    assert asked is not None
    assert asked.url == f"{SERVER}/info"
    info = {"model_id": LLAMA, "max_input_tokens": 1024, "max_total_tokens": 2048}
    assert provider().read_models(info) == ModelPage((Model(LLAMA, context_length=2048),))
    with pytest.raises(ProviderFailed, match="which model"):
        provider().read_models([])


def test_the_hub_has_a_curated_list() -> None:
    assert provider(None).models_request() is None
    assert {LLAMA, "google/flan-t5-xxl"} <= set(HuggingFace.known_models)


def test_the_health_of_a_server_has_a_route_of_its_own() -> None:
    asked = provider().health_request()
    assert asked is not None
    assert asked.url == f"{SERVER}/health"
    assert provider(None).health_request() is None
