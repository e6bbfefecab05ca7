"""
`--template`, and `llmcli templates`: prompts that are kept, from the shell to the model.
"""

import re
from typing import Any

import pytest

from llmcli.prompt_templates import KEYS
from tests.pages import DOCS
from tests.program import Done, Program

REVIEW = """
description = "Reviews a change"
system = "You review {language}."
prompt = "Look at this:\\n{stdin}\\nand {prompt}."
model = "echo"

[vars]
language = "Python"
"""


def keep(llmcli: Program, **files: str) -> None:
    folder = llmcli.config / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)


def ask(llmcli: Program, *args: str, **popen: Any) -> Done:
    return llmcli("chat", "--template", "review", *args, **popen)


def body(llmcli: Program, *args: str, **popen: Any) -> Any:
    """What would be sent to a service."""
    done = ask(llmcli, "-m", "openai/m", "--dry-run", *args, **popen)
    assert done.status == 0, done.err
    return done.json["body"]


def test_a_template_says_where_stdin_and_the_words_go(llmcli: Program) -> None:
    keep(llmcli, review=REVIEW)

    done = ask(llmcli, "be", "kind", stdin=b"the change\n")

    assert (done.status, done.text, done.err) == (0, "Look at this:\nthe change\nand be kind.", "")


def test_where_it_does_not_they_follow_it(llmcli: Program) -> None:
    keep(llmcli, review='prompt = "Look at this."\nmodel = "echo"')
    (llmcli.home / "a.txt").write_text("a file")

    done = ask(llmcli, "-f", "a.txt", "be kind", stdin=b"the change\n")

    assert done.text == 'Look at this.\n\nbe kind\n\n<file name="a.txt">\na file\n</file>\n\nthe change'


def test_a_template_without_a_prompt_leaves_the_prompt_to_the_call(llmcli: Program) -> None:
    keep(llmcli, review='system = "Be kind."')

    assert [each["content"] for each in body(llmcli, "-n", "hi")["messages"]] == ["Be kind.", "hi"]


def test_a_prompt_may_be_all_that_is_asked(llmcli: Program) -> None:
    keep(llmcli, review='prompt = "Tell me a joke."\nmodel = "echo"')

    assert ask(llmcli, "-n").text == "Tell me a joke."


def test_a_hyphen_puts_stdin_where_the_words_go(llmcli: Program) -> None:
    keep(llmcli, review='prompt = "Say {prompt}!"\nmodel = "echo"')

    assert ask(llmcli, "-", stdin=b"hello\n").text == "Say hello!"


def test_variables_are_filled_in_the_system_prompt_too(llmcli: Program) -> None:
    keep(llmcli, review=REVIEW)

    assert body(llmcli, "x", stdin=b"y")["messages"][0]["content"] == "You review Python."
    assert body(llmcli, "--var", "language=C", "x", stdin=b"y")["messages"][0]["content"] == "You review C."


def test_what_was_read_is_never_taken_for_a_place(llmcli: Program) -> None:
    keep(llmcli, review='prompt = "{a} {prompt} {stdin}"\nmodel = "echo"')

    done = ask(llmcli, "--var", "a={stdin}{prompt}", "{a}", stdin=b"{prompt} {a} {stdin}")

    assert done.text == "{stdin}{prompt} {a} {prompt} {a} {stdin}"


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        (("--template", "reveiw"), 3, "there is no template 'reveiw'"),
        (("--template", "need"), 2, "the template need needs a, b"),
        (("--template", "need", "--var", "a=1", "--var", "c=2"), 2, "the template need has no variable 'c'"),
        (("--template", "need", "--var", "a"), 2, "--var 'a' should be name=value"),
        (("--template", "broken"), 3, "unknown key promt"),
        (("--template", "review", "-m", "echo"), 2, "the template has a place for a prompt, and none is given"),
        (("--var", "a=1", "hi"), 2, "--var needs --template"),
        (("--template", "review", "--no-config", "hi"), 2, "--template is read from the configuration directory"),
        (("--template", "review", "-n", "hi"), 2, "the template reads stdin and --no-stdin forbids it"),
        (("--template", "review", "{stdin}"), 2, "stdin can be read once only, not by {stdin} and the template"),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(
    args: tuple[str, ...], status: int, told: str, llmcli: Program
) -> None:
    keep(llmcli, review=REVIEW, need='prompt = "{a} {b}"\nmodel = "echo"', broken="promt = 'hi'")

    done = llmcli("chat", *args)

    assert (done.status, done.out) == (status, b"")
    assert told in done.err


def test_the_command_line_holds_before_the_template_and_that_before_the_configuration(llmcli: Program) -> None:
    llmcli.configure('default = "anthropic/a"\n[providers.openai.settings]\ntemperature = 0.1\ntop_p = 0.1\nseed = 1')
    keep(
        llmcli,
        review='prompt = "hi"\nmodel = "openai/m"\n[settings]\ntemperature = 0.2\ntop_p = 0.2\nstop = ["END"]\n'
        '[options]\neffort = "low"\nother = {a = 1}',
    )

    sent = ask(llmcli, "-n", "--dry-run", "--temperature", "0.3", "--option", "effort=high").json["body"]

    assert (sent["model"], sent["temperature"], sent["top_p"], sent["seed"]) == ("m", 0.3, 0.2, 1)
    assert (sent["stop"], sent["effort"], sent["other"]) == (["END"], "high", {"a": 1})


@pytest.mark.parametrize("args", [("-m", "openai/n"), ("-p", "openai", "-m", "n")])
def test_a_model_of_the_command_line_is_asked_whatever_the_template_says(
    args: tuple[str, ...], llmcli: Program
) -> None:
    keep(llmcli, review='prompt = "hi"\nmodel = "anthropic/m"')

    assert ask(llmcli, "-n", "--dry-run", *args).json["body"]["model"] == "n"


def test_a_provider_of_the_command_line_is_not_asked_for_the_model_of_another(llmcli: Program) -> None:
    keep(llmcli, review='prompt = "hi"\nmodel = "openai/m"')

    assert ask(llmcli, "-n", "-p", "echo", "--json").json["metadata"]["model"] == "echo"


def test_a_template_may_have_a_schema(llmcli: Program) -> None:
    answer = """text = 'So: {"name": "Ada"}'"""
    keep(llmcli, review=f"prompt = 'hi'\nmodel = 'echo'\nschema = 'name: str'\n[options]\n{answer}")

    assert ask(llmcli, "-n").text == '{"name": "Ada"}\n'
    assert ask(llmcli, "-n", "--schema", "age: int").status == 13


def test_a_template_may_have_tools_which_still_have_to_be_allowed(llmcli: Program) -> None:
    keep(llmcli, review="prompt = 'hi'\nmodel = 'openai/m'\ntools = ['tools.py']")
    (llmcli.config / "templates" / "tools.py").write_text('def now() -> str:\n    """The time."""\n    return "12"\n')

    assert ask(llmcli, "-n", "--dry-run", "--yes").json["body"]["tools"][0]["function"]["name"] == "now"
    assert ask(llmcli, "-n", env={"OPENAI_API_KEY": "sk-x"}).status == 2


# --- llmcli templates -----------------------------------------------------------------------------


def test_templates_are_listed_with_their_variables(llmcli: Program) -> None:
    keep(llmcli, review=REVIEW, b="prompt = '{x} {y}'")

    assert llmcli("templates").text == "b\tx y\t-\t\nreview\tlanguage=Python\techo\tReviews a change\n"
    assert llmcli("templates", "list").text == llmcli("templates").text


def test_a_broken_one_is_listed_with_what_is_wrong(llmcli: Program) -> None:
    keep(llmcli, good="prompt = 'hi'", bad="promt = 'hi'")

    done = llmcli("templates", "--json")

    assert done.status == 0
    bad, good = done.json
    assert "unknown key promt" in bad["problem"]
    assert good == {"name": "good", "description": "", "model": None, "variables": []}


def test_a_model_of_a_template_that_nobody_has_is_told_with_its_place(llmcli: Program) -> None:
    keep(llmcli, review='prompt = "hi"\nmodel = "ecko/x"')
    told = f"{llmcli.config}/templates/review.toml: model: 'ecko' is no known provider in 'ecko/x'"

    (row,) = llmcli("templates", "--json").json
    assert row["problem"] == told
    done = ask(llmcli, "-n")
    assert done.status == 3
    assert told in done.err
    assert ask(llmcli, "-n", "-m", "echo").text == "hi"


def test_where_there_are_none_it_is_said_where_they_would_be(llmcli: Program) -> None:
    done = llmcli("templates")

    assert (done.status, done.out) == (0, b"")
    assert done.err == f"llmcli: there are no templates in {llmcli.config}/templates\n"


def test_one_is_shown_whole(llmcli: Program) -> None:
    keep(llmcli, review=REVIEW + "\n[settings]\nseed = 1\n")

    assert llmcli("templates", "show", "review").text == (
        f"file: {llmcli.config}/templates/review.toml\n"
        "description: Reviews a change\n"
        "model: echo\n"
        'settings: {"seed": 1}\n'
        "variable: language=Python\n"
        "system:\n"
        "  You review {language}.\n"
        "prompt:\n"
        "  Look at this:\n"
        "  {stdin}\n"
        "  and {prompt}.\n"
    )


def test_one_is_shown_as_json(llmcli: Program) -> None:
    keep(llmcli, review=REVIEW)

    shown = llmcli("templates", "show", "review", "--json").json

    assert shown["variables"] == [{"name": "language", "default": "Python"}]
    assert (shown["stdin"], shown["schema"], shown["prompt"]) == (True, None, "Look at this:\n{stdin}\nand {prompt}.")


def test_a_template_that_is_not_there_is_an_error(llmcli: Program) -> None:
    keep(llmcli, review=REVIEW)

    done = llmcli("templates", "show", "reviw")

    assert (done.status, done.out) == (3, b"")
    assert "did you mean review?" in done.err


def test_what_a_template_holds_does_not_drive_a_terminal(llmcli: Program) -> None:
    keep(llmcli, review='description = "a\\u001b[31m"\nprompt = "b\\u001b[31m\\nc"')

    assert "\x1b" not in llmcli("templates").text + llmcli("templates", "show", "review").text


def test_the_page_tells_of_every_key() -> None:
    page = (DOCS / "templates.md").read_text("utf-8")

    assert re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE) == list(KEYS)
