"""
Templates of prompts: what a file says, which values go where, and what is wrong with it.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from llmcli.errors import ConfigurationError, UsageError
from llmcli.prompt_templates import Template, chosen, every, filled, load, names, variables
from llmcli.schemas import read

REVIEW = """
description = "Reviews a change"
system = "You review {language} for {team}."
prompt = "Look at this:\\n\\n{stdin}\\n\\n{prompt}"
model = "echo"
tools = ["clock"]

[settings]
temperature = 0.2
stop = ["END"]

[options]
effort = "high"

[vars]
team = "us all"
"""


def kept(directory: Path, **files: str) -> str:
    """A configuration directory with these templates."""
    (directory / "templates").mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / "templates" / f"{name}.toml").write_text(text)
    return str(directory)


def template(directory: Path, text: str) -> Template:
    return load("t", kept(directory, t=text))


def problem(directory: Path, text: str) -> str:
    """What is wrong with a template, without the name of its file."""
    with pytest.raises(ConfigurationError) as caught:
        template(directory, text)
    return caught.value.message.replace(f"{directory}/templates/t.toml", "FILE")


# --- files ----------------------------------------------------------------------------------------


def test_a_template_holds_all_that_a_call_needs(tmp_path: Path) -> None:
    review = template(tmp_path, REVIEW)

    assert review.description == "Reviews a change"
    assert review.model == "echo"
    assert review.settings == {"temperature": 0.2, "stop": ["END"]}
    assert review.options == {"effort": "high"}
    assert review.names == ("language", "team")
    assert review.values == {"team": "us all"}
    assert review.places == {"stdin", "prompt"}


def test_the_files_that_a_template_names_are_beside_it_wherever_one_stands(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "person.json").write_text('{"type": "object", "title": "person"}')

    (tmp_path / "templates" / "tools.py").write_text("")
    (tmp_path / "others.py").write_text("")
    assert template(tmp_path, f'tools = ["clock", "tools.py:now", "{tmp_path}/others.py"]').tools == (
        "clock", f"{tmp_path}/templates/tools.py:now", f"{tmp_path}/others.py",
    )  # fmt: skip
    schema = template(tmp_path, 'schema = "person.json"').schema
    assert schema is not None
    assert schema.asked.name == "person"


@pytest.mark.parametrize(
    "said",
    [
        'schema = "name: str, age: int"',
        """schema = '{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
           "required": ["name", "age"], "additionalProperties": false}' """.replace("\n", ""),
        '[schema]\ntype = "object"\nrequired = ["name", "age"]\nadditionalProperties = false\n'
        '[schema.properties]\nname = { type = "string" }\nage = { type = "integer" }',
    ],
)
def test_a_schema_is_said_as_on_the_command_line_or_as_a_table(said: str, tmp_path: Path) -> None:
    assert template(tmp_path, said).schema == read("name: str, age: int")


def test_a_schema_may_be_for_many(tmp_path: Path) -> None:
    assert template(tmp_path, 'schema = "name: str"\nschema_multi = true').schema == read("name: str", many=True)


def test_the_names_of_all_templates_are_sorted_and_other_files_are_none(tmp_path: Path) -> None:
    directory = kept(tmp_path, b="", a="", **{"with-hyphen": "", ".hidden": ""})
    (tmp_path / "templates" / "notes.txt").write_text("")

    assert names(directory) == ["a", "b", "with-hyphen"]
    assert names(str(tmp_path / "elsewhere")) == names(None) == []


def test_what_lies_there_and_is_no_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    directory = kept(tmp_path, a="")
    os.mkfifo(tmp_path / "templates" / "pipe.toml")
    (tmp_path / "templates" / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "templates" / "gone.toml").symlink_to("/nowhere/at/all")

    assert names(directory) == ["a", "gone"]


def test_a_tool_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    assert problem(tmp_path, 'tools = ["nope.py:f"]') == f"FILE: tools: there is no file {tmp_path}/templates/nope.py"


def test_a_broken_template_does_not_hide_the_others(tmp_path: Path) -> None:
    files = {"bad": "prompt = ", "odd": "promt = 'hi'", "deep": "x = " + "[" * 5000,
             "long": f"[settings]\nseed = {'1' * 5000}"}  # fmt: skip
    found = dict(every(kept(tmp_path, good="prompt = 'hi'", **files)))
    assert "is not valid TOML" in str(found["long"])
    assert "is not valid TOML" in str(found["deep"])

    assert isinstance(found["good"], Template)
    assert "is not valid TOML" in str(found["bad"])
    assert "unknown key promt" in str(found["odd"])


def test_a_name_that_is_nearly_one_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("reveiw", kept(tmp_path, review=REVIEW))

    assert caught.value.message == f"there is no template 'reveiw' in {tmp_path}/templates"
    assert caught.value.hint == "did you mean review?"


@pytest.mark.parametrize("name", ["../config", "/etc/passwd", "", ".", "review.toml"])
def test_a_name_never_leads_out_of_the_directory(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")

    with pytest.raises(ConfigurationError, match="there is no template"):
        load(name, kept(tmp_path, review=REVIEW))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("promt = 'hi'", "FILE: unknown key promt"),
        ("prompt = 3", "FILE: prompt should be text, not a number"),
        ("[settings]\ntemprature = 1", "FILE: unknown key settings.temprature"),
        ("[vars]\nteam = 3", "FILE: vars.team should be text, not a number"),
        ("tools = [3]", "FILE: tools.1 should be text, not a number"),
        ("prompt = '{team}'\n[vars]\ntaem = 'us'", "FILE: vars.taem is used nowhere"),
        ("prompt = '{stdin}'\n[vars]\nstdin = ''", "FILE: vars.stdin cannot be chosen: {stdin} is filled by the call"),
        ("system = '{stdin}'", "FILE: system holds {stdin}, which belongs into the prompt"),
        ("prompt = '{stdin} {stdin}'", "FILE: prompt holds {stdin} more than once"),
        ("schema_multi = true", "FILE: schema_multi needs a schema"),
        ("schema = 'x: strng'", "FILE: schema: x: 'strng' is no type (character 4)"),
        ("schema = { required = 3 }", "FILE: schema is no JSON schema: required: 3 is not of type 'array'"),
        ("schema = { default = 2026-01-01 }", "FILE: schema.default is a date or time, which JSON does not have"),
        ("options = { x = inf }", "FILE: options.x is inf, which JSON does not have"),
        ("options = { 'a=b' = 1 }", "FILE: options.a=b: the name of an option holds no ="),
        ("schema = { minimum = nan }", "FILE: schema.minimum is nan, which JSON does not have"),
        ("options = { x = [1, 2026-01-01] }", "FILE: options.x.2 is a date or time, which JSON does not have"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(text: str, told: str, tmp_path: Path) -> None:
    assert problem(tmp_path, text) == told


def test_a_schema_file_that_is_not_there_is_looked_for_beside_the_template(tmp_path: Path) -> None:
    assert f"there is no file {tmp_path}/templates/person.json" in problem(tmp_path, "schema = 'person.json'")


# --- variables ------------------------------------------------------------------------------------


def test_a_template_with_options_keeps_its_name(tmp_path: Path) -> None:
    asked = template(tmp_path, 'prompt = "{a}"\n[options]\ncall = "add"\n')

    with pytest.raises(UsageError, match="the template t needs a"):
        chosen(asked, {})


def test_variables_are_pairs() -> None:
    assert variables(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a b=1"], ["1a=1"], ["a=1", "a=2"]])
def test_what_is_no_variable_is_refused(pairs: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^--var "):
        variables(pairs)


TEMPLATE = Template("t", "t.toml", names=("language", "team"), values={"team": "us"})


def test_what_is_given_holds_before_what_the_template_says() -> None:
    assert chosen(TEMPLATE, {"language": "C"}) == {"language": "C", "team": "us"}
    assert chosen(TEMPLATE, {"language": "C", "team": "them"}) == {"language": "C", "team": "them"}


def test_variables_that_are_missing_are_named_with_what_to_type() -> None:
    with pytest.raises(UsageError) as caught:
        chosen(TEMPLATE._replace(values={}), {})

    assert caught.value.message == "the template t needs language, team"
    assert caught.value.hint == "--var language=... --var team=..."


@pytest.mark.parametrize(
    ("name", "hint"), [("langauge", "did you mean language?"), ("x", "its variables: language, team")]
)
def test_a_variable_that_the_template_does_not_have_is_a_mistake(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(TEMPLATE, {name: "1"})

    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("pattern", "values", "text"),
    [
        ("Translate {text} into {language}.", {"text": "a", "language": "b"}, "Translate a into b."),
        ("{a}{a}", {"a": "x"}, "xx"),
        ('Answer as {"x": {"y": [1]}} and {a}', {"a": "1"}, 'Answer as {"x": {"y": [1]}} and 1'),
        ("{{a}} is a place, {a} is filled", {"a": "1"}, "{a} is a place, 1 is filled"),
        ("{{a}, {a}}", {"a": "1"}, "{1, 1}"),
        ("{ a } {} {1}", {"a": "1"}, "{ a } {} {1}"),
        ("{a} {b}", {"a": "{b}", "b": "{a}"}, "{b} {a}"),
        ("{a}", {}, "{a}"),
        ("\\1 {a}", {"a": "\\2"}, "\\1 \\2"),
    ],
)
def test_places_are_filled_once_and_other_braces_are_left(pattern: str, values: Mapping[str, str], text: str) -> None:
    assert filled(pattern, values) == text
