"""
Structured output: how a schema is said, what a model is told of it, and which answers satisfy it.
"""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from llmcli.errors import ConfigurationError, UsageError, WrongForm
from llmcli.provider import Capabilities, Provider
from llmcli.schema_short_form import read as short_form
from llmcli.schemas import Wanted, asking, hold, read, until_valid, wanted, way_of
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    Message,
    ProviderConfig,
    Reply,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Usage,
    message,
)
from llmcli.validation import problems, schema_problem

PERSON = read("name: str, age: int")
ADA = {"name": "Ada", "age": 36}


# --- the short form -------------------------------------------------------------------------------


def one(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the only field."""
    (field,) = schema["properties"].values()
    return field  # type: ignore[no-any-return]


def test_fields_with_types_become_an_object_that_has_all_of_them_and_no_other() -> None:
    assert short_form("name: str, age: int") == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("said", "schema"),
    [
        ("x: str", {"type": "string"}),
        ("x: float", {"type": "number"}),
        ("x: bool", {"type": "boolean"}),
        ("x: [str]", {"type": "array", "items": {"type": "string"}}),
        ("x: [[int]]", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        ("x: red|green | blue-green", {"type": "string", "enum": ["red", "green", "blue-green"]}),
        ("x: str: who it is", {"type": "string", "description": "who it is"}),
        ("x: int: at 12:30 o'clock", {"type": "integer", "description": "at 12:30 o'clock"}),
        ("x: {y: int}", short_form("y: int")),
        ("x: [{y: int, z: [str]}]", {"type": "array", "items": short_form("y: int, z: [str]")}),
        ("x: { y: int: a number }", short_form("y: int: a number")),
    ],
)
def test_each_type_is_said_in_its_way(said: str, schema: dict[str, Any]) -> None:
    assert one(short_form(said)) == schema


def test_a_field_without_a_type_is_a_text() -> None:
    assert short_form("name, age: int") == short_form("name: str, age: int")


@pytest.mark.parametrize("said", ["age: int?", "age?: int", "age ? : int ?"])
def test_an_optional_field_may_be_left_out_or_null(said: str) -> None:
    schema = short_form(said)

    assert [problems(value, schema) for value in ({}, {"age": None}, {"age": 3})] == [[], [], []]
    assert problems({"age": "three"}, schema) != []


@pytest.mark.parametrize("said", ["x: red|green?", "x: [int]?", "x: {y: int}?"])
def test_whatever_is_optional_may_be_null(said: str) -> None:
    assert problems({"x": None}, short_form(said)) == []


def test_on_several_lines_a_description_may_hold_commas() -> None:
    several = short_form("name: str: first, then last\nage: int,\n\ntags: [str]: at most three, lower case,\n")

    assert [field.get("description") for field in several["properties"].values()] == [
        "first, then last", None, "at most three, lower case",
    ]  # fmt: skip


def test_in_braces_on_one_line_a_comma_ends_a_description_also_among_several_lines() -> None:
    several = short_form("a: int: one, or two\nb: {c: int: deep, d: str}\ne: str: last, not least")

    assert several["properties"]["b"]["properties"]["c"]["description"] == "deep"
    assert list(several["properties"]["b"]["properties"]) == ["c", "d"]
    assert several["properties"]["e"]["description"] == "last, not least"


def test_what_is_nested_too_deeply_to_be_read_is_told_of() -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        short_form(f"a: {'[' * 5000}")


def test_a_nested_object_may_stand_on_several_lines() -> None:
    assert short_form("people: [{\n  name: str\n  age: int\n}]\nn: int") == short_form(
        "people: [{name: str, age: int}], n: int"
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("x: strng", "x: 'strng' is no type (character 4)"),
        ("x: ", "x: a type belongs here (character 3)"),
        ("x: int y: int", "a comma belongs between fields (character 8)"),
        ("x: int, x: str", "there are two fields x (character 9)"),
        ("x: [int", "a ] is missing (character 8)"),
        ("x: {y: int", "a } is missing (character 11)"),
        ("x: int}", "this closes nothing (character 7)"),
        ("x: {}", "there are no fields (character 5)"),
        ("x: str|int", "x is one of several texts, and str is a type (character 4)"),
        ("x: int, 9: int", "the name of a field belongs here (character 9)"),
    ],
)
def test_a_mistake_is_told_with_its_place(said: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        short_form(said)

    assert caught.value.message == f"--schema: {message}"


def test_a_type_that_is_nearly_one_is_guessed() -> None:
    with pytest.raises(UsageError) as caught:
        short_form("x: flot")

    assert caught.value.hint == "did you mean float?"


# --- what is read ---------------------------------------------------------------------------------


def test_json_is_taken_from_the_command_line_and_from_a_file(tmp_path: Path) -> None:
    document = short_form("name: str, age: int")
    file = tmp_path / "person.json"
    file.write_text("\ufeff" + json.dumps(document))

    assert read(json.dumps(document)).document == read(str(file)).document == document
    assert read(str(file)).asked.name == "person"


def test_the_title_of_a_schema_is_its_name_as_far_as_services_take_it() -> None:
    assert wanted({"title": "Ünser Größter Fund!", "type": "object"}, "x").asked.name == "nser_Gr_ter_Fund"
    assert wanted({"title": "?", "type": "object"}, "x").asked.name == "answer"
    assert len(wanted({"title": "a" * 100, "type": "object"}, "x").asked.name) == 64


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is no JSON: "),
        (b"[]", "is no JSON schema: it is no object"),
        (b'{"type": "strnig"}', "is no JSON schema: type: 'strnig' is not valid"),
        (b'{"type": "string", "pattern": "("}', "is no JSON schema: pattern: '(' is not a 'regex'"),
        (b"\xff", "is not UTF-8 (byte 0)"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_a_file_that_holds_no_schema_is_named(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        read(str(file))

    assert caught.value.message.startswith(f"{file} {told}")


def test_where_there_is_no_file_the_short_form_is_shown() -> None:
    with pytest.raises(UsageError) as caught:
        read("person")

    assert caught.value.message == "--schema: there is no file person"
    assert "name: str" in str(caught.value.hint)


def test_a_brace_around_the_short_form_is_told_of() -> None:
    with pytest.raises(UsageError) as caught:
        read("{name: str}")

    assert "no braces" in str(caught.value.hint)


# --- what a service is asked for ------------------------------------------------------------------


def test_a_schema_of_an_object_is_asked_for_as_it_is() -> None:
    assert PERSON.asked.document == PERSON.document
    assert PERSON.key is None


def test_an_object_that_does_not_say_so_is_one() -> None:
    assert wanted({"properties": {"a": {}}}, "x").asked.document == {"type": "object", "properties": {"a": {}}}


@pytest.mark.parametrize("document", [{"type": "array", "items": {"type": "integer"}}, {"enum": ["a", "b"]}, {}])
def test_what_is_no_object_is_asked_for_inside_of_one(document: dict[str, Any]) -> None:
    form = wanted(document, "x")

    assert form.asked.document == {
        "type": "object", "properties": {"answer": document}, "required": ["answer"], "additionalProperties": False,
    }  # fmt: skip
    assert form.document == document


def test_many_are_a_list_of_them_inside_of_an_object() -> None:
    form = read("name: str", many=True)

    assert form.document == {"type": "array", "items": short_form("name: str")}
    assert form.asked.document["properties"] == {"items": form.document}


NODE = {
    "$id": "https://example.com/node",
    "title": "node",
    "type": "object",
    "properties": {"size": {"$ref": "#/$defs/size"}, "next": {"$ref": "#"}, "also": {"$ref": "#/properties/size"}},
    "required": ["size"],
    "$defs": {"size": {"type": "integer"}, "node": {"type": "null"}},
}


@pytest.mark.parametrize("asked", [True, False])
def test_a_schema_that_refers_to_itself_means_the_same_inside_of_another(asked: bool) -> None:
    form = wanted(NODE, "x", many=True)
    document = form.asked.document if asked else form.document

    def listed(*items: object) -> object:
        return {"items": list(items)} if asked else list(items)

    assert schema_problem(document) is None
    assert problems(listed({"size": 1, "next": {"size": 2}, "also": 3}), document) == []
    assert problems(listed({"size": 1, "next": {"size": "two"}}), document) != []
    assert problems(listed({"size": 1, "also": "three"}), document) != []
    assert problems(listed({"size": "one"}), document) != []


class Plain(Provider):
    """A provider that knows nothing of forms."""


class Jsonish(Provider):
    """One that can be asked for any JSON object."""

    json_mode: ClassVar[bool] = True


class Strict(Provider):
    """One that enforces a schema."""

    capabilities = Capabilities(schema=True)
    json_mode: ClassVar[bool] = True


@pytest.mark.parametrize(("cls", "way"), [(Strict, "native"), (Jsonish, "json"), (Plain, "prompt")])
def test_the_surest_way_that_a_provider_has_is_taken(cls: type[Provider], way: str) -> None:
    assert way_of(cls(ProviderConfig("x"))) == way


def test_another_way_may_be_wanted_of_those_that_there_are() -> None:
    provider = Jsonish(ProviderConfig("x", place="config.toml: providers.x"))

    assert way_of(provider, "prompt") == "prompt"
    with pytest.raises(ConfigurationError) as caught:
        way_of(provider, "native")
    assert caught.value.message == "config.toml: providers.x.schema: x cannot be asked for a schema in the way 'native'"
    assert caught.value.hint == "but: json, prompt"


REQUEST = ChatRequest("m", (message("user", "who was the first programmer?"),))


def test_where_the_service_enforces_a_schema_the_prompt_stays_as_it_is() -> None:
    assert asking(REQUEST, PERSON, "native") == REQUEST._replace(schema=PERSON.asked)


def test_where_it_enforces_json_only_the_schema_is_told_in_words_besides() -> None:
    request = asking(REQUEST, PERSON, "json")

    assert request.schema is not None
    assert request.schema.document == {}
    assert "JSON" in request.messages[0].text
    assert json.dumps(PERSON.document) in request.messages[0].text
    assert request.messages[1:] == REQUEST.messages


def test_where_it_enforces_nothing_the_words_are_all() -> None:
    request = asking(REQUEST, PERSON, "prompt")

    assert request.schema is None
    assert json.dumps(PERSON.document) in request.messages[0].text


def test_only_who_must_have_an_object_is_asked_for_one() -> None:
    names = read("name: str", many=True)

    assert json.dumps(names.asked.document) in asking(REQUEST, names, "json").messages[0].text
    assert json.dumps(names.document) in asking(REQUEST, names, "prompt").messages[0].text


def test_the_words_are_added_to_the_system_message_that_is_there() -> None:
    request = REQUEST._replace(messages=(message("system", "Be brief."), *REQUEST.messages))

    first, *others = asking(request, PERSON, "prompt").messages

    assert first.role == "system"
    assert first.text.startswith("Be brief.\n\nAnswer with one JSON document")
    assert others == list(REQUEST.messages)


# --- an answer ------------------------------------------------------------------------------------

TEXT = json.dumps(ADA)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"\n  {TEXT}\n\n",
        f"\ufeff{TEXT}",
        f"```json\n{TEXT}\n```",
        f"Here you are:\n\n```\n{TEXT}\n```\nI hope that it helps {{really}}!",
        f"I looked at [1] and at {{it}}: {TEXT}. See also [2].",
        f'First I thought {{"name": "Ada"}}, but it is {TEXT}',
    ],
)
def test_the_document_is_found_in_what_a_model_says_around_it(text: str) -> None:
    assert hold(text, PERSON).value == ADA
    assert hold(text, PERSON).problems == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is empty"),
        ("I cannot say.", "it is no JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"name": "Ada"}', "'age' is a required property"),
        ('Well: {"name": "Ada"} [1]', "'age' is a required property"),
        ('{"name": "Ada", "age": "36"}', "age: '36' is not of type 'integer'"),
        ('{"name": "Ada", "age": 36', "it is no JSON: Expecting ',' delimiter: line 1 column 26 (char 25)"),
        ('{"name": "Ada", "age": NaN}', "it is no JSON: NaN is no JSON"),
        ('{"name": "Ada", "age": 1e999}', "it is no JSON: no number is as large as 1e999"),
        (f"[{TEXT}]", "[{'name': 'Ada', 'age': 36}] is not of type 'object'"),
        ('"Ada"', "'Ada' is not of type 'object'"),
        (f'{{"answer": {TEXT}}}', "'name' is a required property"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(text: str, told: str) -> None:
    assert hold(text, PERSON).problems[0] == told


TREE = wanted(
    {
        "$ref": "#/$defs/T",
        "$defs": {
            "T": {
                "type": "object",
                "properties": {"v": {"type": "integer"}, "c": {"type": "array", "items": {"$ref": "#/$defs/T"}}},
                "required": ["v", "c"],
                "additionalProperties": False,
            }
        },
    },
    "x",
)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": []}], "w": 4}', TREE),
        ('{"a": {"b": 1}, "c": [1, 2,]}', wanted({"type": "object"}, "x")),
        ('{"note": "see {} below", "a": 1,}', wanted({"type": "object"}, "x")),
        ('[{"n": 1}, {"n": 2}, {"n": 3},]', read("n: int")),
        ('{"tags": ["x"], "list": [1, 2, 3,]}', wanted({"type": "array"}, "x")),
        ('Here it is: {"a": "\n```json\n{}\n```\n", "b": 1,}', wanted({"type": "object"}, "x")),
    ],
)
def test_a_part_of_a_document_is_never_taken_for_it_wherever_it_is_cut(text: str, form: Wanted) -> None:
    for end in range(len(text) + 1):
        assert hold(text[:end], form).problems, text[:end]


@pytest.mark.parametrize(
    "text", ['```json\n"red"\n```', "It is:\n\n~~~\n42\n~~~\nor so", '"red"', '  42\n', 'So: \n```\n\n"red"\n\n````\n']
)  # fmt: skip
def test_a_fence_may_hold_any_value(text: str) -> None:
    form = wanted({"enum": ["red", "blue", 42]}, "x")

    assert hold(text, form).problems == ()


def test_a_document_behind_many_others_is_found() -> None:
    assert hold("{x} " * 500 + '{"n": 1}', read("n: int")).value == {"n": 1}


@pytest.mark.parametrize(
    ("form", "around", "text", "value"),
    [
        ({"$ref": "#/$defs/q", "$defs": {"q": {"type": "object", "required": ["q"]}}}, True,
         '{"q": "1+1", "answer": "2"}', {"q": "1+1", "answer": "2"}),
        ({}, True, '{"answer": 5}', 5),
        ({}, False, '{"answer": 5}', {"answer": 5}),
        ({"oneOf": [{"type": "object", "properties": {"answer": {"type": "integer"}}}]}, True,
         '{"answer": 5}', {"answer": 5}),
        ({"enum": ["yes"]}, False, '{"answer": "yes"}', "yes"),
    ],
)  # fmt: skip
def test_a_value_of_its_own_is_told_from_one_in_the_object_that_was_asked_for(
    form: Any, around: bool, text: str, value: Any
) -> None:
    assert hold(text, wanted(form, "x")._replace(around=around)) == (value, ())


def test_a_number_that_is_too_large_to_be_looked_at_is_a_problem_of_the_answer() -> None:
    form = wanted({"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 0.5}}}, "x")

    assert "cannot be held against the schema" in hold('{"a": 1' + "0" * 400 + "}", form).problems[0]


def test_brackets_without_end_are_no_document_and_do_no_harm() -> None:
    assert hold("[" * 200_000, PERSON).problems
    assert hold('{"a":' * 200_000, PERSON).problems


def test_a_value_that_is_nested_too_deeply_for_its_schema_is_refused() -> None:
    tree = wanted({"type": "array", "items": {"$ref": "#"}}, "x")

    assert hold("[" * 900 + "]" * 900, tree).problems == ("it is nested too deeply",)


@pytest.mark.parametrize("text", [f'{{"items": [{TEXT}, {TEXT}]}}', f"[{TEXT}, {TEXT}]"])
def test_a_list_is_taken_with_and_without_the_object_around_it(text: str) -> None:
    assert hold(text, read("name: str, age: int", many=True)).value == [ADA, ADA]


def test_a_problem_of_a_list_is_told_with_its_place() -> None:
    people = read("name: str, age: int", many=True)

    assert hold('{"items": [{"name": 1, "age": 1}]}', people).problems == ("items[0].name: 1 is not of type 'string'",)


@pytest.mark.parametrize("text", ['{"answer": "yes"}', '"yes"'])
def test_a_value_that_is_no_object_is_what_the_answer_is(text: str) -> None:
    assert hold(text, wanted({"enum": ["yes", "no"]}, "x")).value == "yes"


# --- asking again ---------------------------------------------------------------------------------


class Model:
    """Answers with one text after the other, and keeps what it was asked."""

    def __init__(self, *texts: str, reason: FinishReason = "stop") -> None:
        self.asked: list[tuple[Message, ...]] = []
        self._texts = iter(texts)
        self._reason: FinishReason = reason

    def __call__(self, messages: tuple[Message, ...]) -> Generator[Event, None, Reply]:
        self.asked.append(messages)
        text = next(self._texts)
        yield ThinkingDelta("hm")
        yield TextDelta(text)
        yield Usage(10, 2)
        yield Finish(self._reason)
        parts = (Thinking("hm", {"signature": "s"}), Text(text), ToolCall("1", "never_offered"))
        return Reply(Message("assistant", parts), "p", "m", Finish(self._reason), Usage(10, 2))


class Told(NamedTuple):
    """What came of it: the events, the answer, and the notes for a person."""

    events: list[Event]
    reply: Reply
    notes: list[str]


def ask(model: Model, form: Wanted = PERSON, retries: int = 1) -> Told:
    notes: list[str] = []
    events: list[Event] = []
    answer = until_valid(
        model,
        REQUEST.messages,
        form,
        retries=retries,
        note=notes.append,
        printed=lambda value: f"{json.dumps(value)}\n",
    )
    while True:
        try:
            events.append(next(answer))
        except StopIteration as stop:
            return Told(events, stop.value, notes)


def test_a_good_answer_is_asked_for_once_and_printed_as_one_document() -> None:
    model = Model(f"Here it is: {TEXT}")

    told = ask(model)

    assert model.asked == [REQUEST.messages]
    assert told.events == [ThinkingDelta("hm"), Usage(10, 2), TextDelta(f"{TEXT}\n"), Finish("stop")]
    assert told.reply.message.text == f"{TEXT}\n"
    assert told.notes == []


def test_a_bad_one_is_sent_back_with_what_is_wrong_and_with_what_was_thought() -> None:
    model = Model('{"name": "Ada"}', TEXT)

    ask(model)

    *before, said, complaint = model.asked[1]
    assert tuple(before) == REQUEST.messages
    assert said == Message("assistant", (Thinking("hm", {"signature": "s"}), Text('{"name": "Ada"}')))
    assert complaint.role == "user"
    assert "- 'age' is a required property\n" in complaint.text


def test_what_was_said_meanwhile_stays_in_what_is_asked_again() -> None:
    """While tools were run, the model was asked with more than the question."""
    model = Model("no", TEXT)
    meanwhile = (*REQUEST.messages, message("assistant", "a call"), message("tool", "its result"))
    answer = until_valid(
        model, REQUEST.messages, PERSON, retries=1, note=lambda line: None, printed=str, so_far=lambda: meanwhile
    )

    list(answer)

    assert model.asked[1][:-2] == meanwhile


def test_of_several_answers_the_good_one_is_printed_and_the_tokens_of_all_are_counted() -> None:
    told = ask(Model("no", "{}", TEXT), retries=2)

    assert [event for event in told.events if isinstance(event, TextDelta | Finish)] == [
        TextDelta(f"{TEXT}\n"), Finish("stop"),
    ]  # fmt: skip
    assert [event for event in told.events if isinstance(event, Usage)] == [Usage(10, 2), Usage(20, 4), Usage(30, 6)]
    assert told.reply.usage == Usage(30, 6)


def test_what_is_empty_is_not_sent_back_but_complained_of() -> None:
    model = Model("", TEXT)

    ask(model)

    (question,) = model.asked[1]
    assert question.role == "user"
    assert "- it is empty\n" in question.text


def test_a_person_is_told_why_it_takes_longer() -> None:
    assert ask(Model("no", TEXT)).notes == [
        "the answer does not satisfy the schema: it is no JSON: Expecting value: line 1 column 1 (char 0); asking again"
    ]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_it_is_asked_again_as_often_as_is_said_and_no_more(retries: int) -> None:
    model = Model(*["no"] * 10)

    with pytest.raises(WrongForm) as caught:
        ask(model, retries=retries)

    assert len(model.asked) == retries + 1
    assert caught.value.provider == "p"


def test_an_answer_that_was_cut_is_not_asked_for_again() -> None:
    model = Model('{"name": "Ad', TEXT, reason="length")

    with pytest.raises(WrongForm) as caught:
        ask(model)

    assert len(model.asked) == 1
    assert caught.value.hint == "--max-tokens allows more"


def test_what_a_filter_stopped_is_not_asked_for_again() -> None:
    model = Model("I am sorry", TEXT, reason="content_filter")

    with pytest.raises(WrongForm, match="content filter"):
        ask(model)

    assert len(model.asked) == 1


def test_an_answer_that_was_cut_behind_a_good_draft_is_no_answer() -> None:
    with pytest.raises(WrongForm, match="limit of tokens"):
        ask(Model(f'First {TEXT}. No, rather: {{"name": "Ad', reason="length"))


def test_an_answer_that_is_whole_at_its_limit_is_good() -> None:
    assert ask(Model(TEXT, reason="length")).reply.message.text == f"{TEXT}\n"


def test_the_question_ends_when_nobody_listens_any_more() -> None:
    ended = []

    def endless(messages: tuple[Message, ...]) -> Generator[Event, None, Reply]:
        try:
            while True:
                yield ThinkingDelta("hm")
        finally:
            ended.append(True)

    held = []  # so that nothing but `until_valid` ends it

    def asked(messages: tuple[Message, ...]) -> Generator[Event, None, Reply]:
        held.append(endless(messages))
        return held[0]

    answer = until_valid(asked, REQUEST.messages, PERSON, retries=1, note=lambda line: None, printed=str)
    next(answer)
    answer.close()

    assert ended == [True]
