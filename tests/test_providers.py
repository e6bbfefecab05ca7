"""`llmcli providers`: what there is, and whether it has its key; and `providers show`, all of one."""

import pytest

from llmcli.commands.table import cells
from tests.program import Done, Program
from tests.terminal import on_terminal


def test_every_built_in_provider_is_listed(llmcli: Program) -> None:
    done = llmcli("providers", "--json")

    listed = {row["id"]: row for row in done.json}
    assert done.status == 0
    assert {"echo", "openai", "anthropic", "ollama", "gateway", "azure", "groq", "openai-compatible"} <= set(listed)
    assert all("problem" not in row for row in listed.values())
    assert listed["openai"]["base_url"] == "https://api.openai.com/v1"
    assert listed["openai"]["key"] == "missing"
    assert listed["ollama"]["key"] == "not needed"


def test_the_list_says_where_a_key_comes_from_and_never_what_it_is(llmcli: Program) -> None:
    done = llmcli("providers", env={"OPENAI_API_KEY": "sk-canary-123456"})

    line = next(line for line in done.text.splitlines() if line.startswith("openai\t"))
    assert "from OPENAI_API_KEY" in line
    assert "sk-canary" not in done.text + done.err


def test_in_a_pipe_the_list_is_tab_separated_without_a_heading(llmcli: Program) -> None:
    first = llmcli("providers").text.splitlines()[0]

    assert first.split("\t")[0] == "echo"


def test_a_configured_provider_is_listed_with_its_own_address(llmcli: Program) -> None:
    llmcli.configure('[providers.work]\nadapter = "openai-compatible"\nbase_url = "https://llm.example.com/v1"\n')

    row = next(row for row in llmcli("providers", "--json").json if row["id"] == "work")

    assert (row["origin"], row["base_url"]) == ("configuration", "https://llm.example.com/v1")


def test_one_mistake_in_a_table_is_shown_there_and_does_not_stop_the_list(llmcli: Program) -> None:
    llmcli.configure('[providers.work]\nadapter = "opnai"\n\n[providers.openai]\nbase_ulr = "x"\n')

    done = llmcli("providers", "--json")

    listed = {row["id"]: row for row in done.json}
    assert done.status == 0
    assert "unknown provider 'opnai'" in listed["work"]["problem"]
    assert "base_ulr" in listed["openai"]["problem"]
    assert "problem" not in listed["echo"]


def test_the_list_runs_no_key_command(llmcli: Program) -> None:
    """Each may ask for a password, or take its time."""
    llmcli.configure(
        '[providers.work]\nadapter = "openai-compatible"\nbase_url = "https://llm.example.com/v1"\n'
        'api_key = { command = "touch ran" }\n'
    )

    row = next(row for row in llmcli("providers", "--json").json if row["id"] == "work")
    shown = llmcli("providers", "show", "work", "--json").json

    assert (row["key"], shown["key"]) == ("from api_key.command", "from api_key.command")
    assert not (llmcli.home / "ran").exists()


# --- a corrupt configuration ----------------------------------------------------------------------


@pytest.mark.fault(86)
@pytest.mark.parametrize("file", ["config.toml", "state.toml"])
def test_a_corrupt_file_is_named_and_the_list_goes_on(llmcli: Program, file: str) -> None:
    llmcli.configure("")
    (llmcli.config / "providers.d").mkdir()
    (llmcli.config / "providers.d" / "work.toml").write_text('[providers.work]\nadapter = "echo"\n')
    (llmcli.config / file).write_text("default = \n")

    done = llmcli("providers")

    assert done.status == 0
    assert {"echo", "openai", "work"} <= {line.split("\t")[0] for line in done.text.splitlines()}
    assert done.err.startswith(f"llmcli: {llmcli.config}/{file} is not valid TOML: ")
    assert done.err.endswith("; going on without it\n")


@pytest.mark.fault(86)
@pytest.mark.parametrize("provider_id", ["work", "openai"])
def test_a_corrupt_file_of_one_provider_is_its_problem_and_nobody_elses(llmcli: Program, provider_id: str) -> None:
    path = llmcli.config / "providers.d" / f"{provider_id}.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[providers\n")

    done = llmcli("providers", "--json")
    shown = llmcli("providers", "show", provider_id)

    problems = {row["id"]: row["problem"] for row in done.json if "problem" in row}
    assert (done.status, done.err, list(problems)) == (0, "", [provider_id])
    assert problems[provider_id].startswith(f"{path} is not valid TOML: ")
    assert shown.status == 3
    assert f"problem: {path} is not valid TOML" in shown.text


@pytest.mark.fault(86)
@pytest.mark.parametrize("args", [("--help",), ("--version",), ("providers", "--help"), ("providers", "show", "echo")])
def test_help_version_and_show_need_no_configuration_that_can_be_read(llmcli: Program, args: tuple[str, ...]) -> None:
    right = llmcli(*args)
    llmcli.configure("[[[")

    done = llmcli(*args)

    assert (done.status, done.text) == (0, right.text)
    assert done.err.count("\n") == (1 if "show" in args else 0)


def test_a_file_that_was_named_and_is_not_there_is_told(llmcli: Program) -> None:
    done = llmcli("providers", "--config", "nothing.toml")

    assert (done.status, "cannot read nothing.toml" in done.err) == (0, True)


# --- some of them ---------------------------------------------------------------------------------


def ids(done: Done) -> list[str]:
    return [line.split("\t")[0] for line in done.text.splitlines()]


def test_nothing_is_set_up_in_an_empty_home_but_the_echo(llmcli: Program) -> None:
    assert ids(llmcli("providers", "--configured")) == ["echo"]


def test_set_up_is_what_has_a_key_or_a_table(llmcli: Program) -> None:
    llmcli.configure(
        '[providers.work]\nadapter = "openai-compatible"\nbase_url = "https://llm.example.com/v1"\n'
        '[providers.ollama]\ntimeouts = { connect = 1 }\n[providers.wrong]\nadapter = "opnai"\n'
    )
    keys = llmcli.config / "keys"
    keys.mkdir(mode=0o700)
    (keys / "mistral").write_text("sk-kept\n")
    (llmcli.config / "providers.d").mkdir()
    (llmcli.config / "providers.d" / "lab.toml").write_text("=")

    done = llmcli("providers", "--configured", env={"GROQ_API_KEY": "sk-set", "XAI_API_KEY": ""})

    assert sorted(ids(done)) == ["echo", "groq", "lab", "mistral", "ollama", "work", "wrong"]
    assert "sk-" not in done.text + done.err


def test_what_has_its_key_and_a_base_url_that_is_none_is_set_up_and_has_a_problem(
    llmcli: Program,
) -> None:
    env = {"OPENAI_API_KEY": "sk-set", "OPENAI_BASE_URL": "nowhere"}

    done = llmcli("providers", "--configured", "--json", env=env)

    assert [(row["id"], "OPENAI_BASE_URL" in row.get("problem", "")) for row in done.json] == [
        ("echo", False),
        ("openai", True),
    ]


def test_a_capability_is_had_by_each_that_is_listed(llmcli: Program) -> None:
    every = {row["id"]: set(row["capabilities"]) for row in llmcli("providers", "--load", "--json").json}

    one = ids(llmcli("providers", "--capability", "thinking"))
    both = ids(llmcli("providers", "--capability", "tools", "--capability", "thinking"))

    assert one == [name for name, can in every.items() if "thinking" in can]
    assert both == [name for name, can in every.items() if {"tools", "thinking"} <= can]
    assert 0 < len(both) < len(one) < len(every)


def test_a_capability_that_is_none_exits_2_with_the_near_one(llmcli: Program) -> None:
    typo, other = (llmcli("providers", "--capability", name) for name in ("vison", "flying"))

    assert (typo.status, typo.out) == (2, b"")
    assert typo.err == "llmcli: there is no capability 'vison'\nhint: did you mean vision?\n"
    assert other.err.splitlines()[1] == ("hint: there are chat, stream, generate, thinking, vision, tools, schema")


# --- all of one -----------------------------------------------------------------------------------


def test_show_tells_all_of_one_provider(llmcli: Program) -> None:
    row = llmcli("providers", "show", "anthropic", "--json").json

    assert row["settings"]["temperature"] == {"min": 0, "max": 1}
    assert row["settings"]["max_tokens"] == {"min": 1, "default": 16000}
    assert [(place["kind"], place["name"]) for place in row["key_sources"]] == [
        ("environment", "ANTHROPIC_API_KEY"),
        ("file", f"{llmcli.config}/keys/anthropic"),
    ]
    assert (row["key_label"], row["key_hint"].startswith("https://")) == ("API key", True)
    assert row["configuration_keys"]["anthropic_version"]["required"] is False
    assert (row["adapter"], row["plugin"], row["configuration_file"]) == ("anthropic", None, None)
    assert (row["base_url"], row["base_url_from"]) == ("https://api.anthropic.com", "default")
    assert any("max_tokens" in quirk for quirk in row["quirks"])


def test_show_tells_the_choices_of_an_option(llmcli: Program) -> None:
    done = llmcli("providers", "show", "echo")

    assert "cut" in llmcli("providers", "show", "echo", "--json").json["options"]["fail"]["choices"]
    assert "  fail: fail in this way (400, 401, " in done.text
    assert "models: echo (built-in)\n" in done.text


def test_of_several_places_for_a_key_the_first_that_has_one_holds(llmcli: Program) -> None:
    (llmcli.config / "keys").mkdir(parents=True)
    (llmcli.config / "keys" / "openai").touch(mode=0o600)
    (llmcli.config / "keys" / "openai").write_text("sk-kept-123456")

    def holding(**env: str) -> list[str]:
        row = llmcli("providers", "show", "openai", "--json", env=env).json
        assert row["key"] == f"from {next(place['name'] for place in row['key_sources'] if place['holds'])}"
        return [place["kind"] for place in row["key_sources"] if place["holds"]]

    assert holding() == ["file"]
    assert holding(OPENAI_API_KEY="") == ["file"]
    assert holding(OPENAI_API_KEY="sk-canary-123456") == ["environment"]
    shown = llmcli("providers", "show", "openai", env={"OPENAI_API_KEY": "sk-canary-123456"})
    assert "  1. environment OPENAI_API_KEY is there, and is what is taken\n" in shown.text
    assert "sk-" not in shown.text + shown.err


def test_a_key_command_is_named_by_its_first_word_and_comes_before_a_kept_file(llmcli: Program) -> None:
    llmcli.configure('[providers.openai]\napi_key = { command = "pass show sk-canary-123456" }\n')

    done = llmcli("providers", "show", "openai")

    assert "  2. command pass … is asked when it is needed, and is what is taken\n" in done.text
    assert "key: from api_key.command\n" in done.text
    assert "sk-canary" not in done.text


def test_show_says_where_the_base_url_comes_from_and_in_which_file_a_table_stands(llmcli: Program) -> None:
    llmcli.configure(
        '[providers.work]\nadapter = "openai-compatible"\nbase_url = "https://llm.example.com/v1"\n'
        'models = ["a", "b"]\n'
    )
    work = llmcli("providers", "show", "work")
    ollama = llmcli("providers", "show", "ollama", env={"OLLAMA_HOST": "10.0.0.1"})

    assert f"configuration_file: {llmcli.config}/config.toml\n" in work.text
    assert "base_url: https://llm.example.com/v1 (configuration)\n" in work.text
    assert "models: a, b (configuration)\n" in work.text
    assert "base_url: http://10.0.0.1:11434 (OLLAMA_HOST)\n" in ollama.text


def test_show_tells_the_tables_of_a_provider_by_their_dotted_keys(llmcli: Program) -> None:
    llmcli.configure(
        '[providers.acme]\nadapter = "http"\nbase_url = "https://acme.example"\n'
        '[providers.acme.chat]\npath = "/chat"\nrequest = "{q: prompt}"\ncontent = "answer"\n'
    )

    done = llmcli("providers", "show", "acme")

    assert "tables:\n  chat.path: /chat\n  chat.request: {q: prompt}\n  chat.content: answer\n" in done.text


def test_of_a_table_that_is_wrong_what_is_known_is_shown_and_then_the_mistake(llmcli: Program) -> None:
    llmcli.configure('[providers.groq]\nbase_ulr = "x"\n')

    done = llmcli("providers", "show", "groq", "--json")

    assert (done.status, done.json["name"]) == (3, "Groq")
    assert "base_ulr" in done.json["problem"]
    assert done.json["key_hint"].startswith("https://")
    assert done.error["message"] == done.json["problem"]


def test_show_of_an_unknown_provider_exits_3(llmcli: Program) -> None:
    done = llmcli("providers", "show", "nobody")

    assert (done.status, done.out) == (3, b"")


def test_on_a_narrow_terminal_the_lines_of_show_are_folded(llmcli: Program) -> None:
    screen = on_terminal(llmcli, "providers", "show", "anthropic", env={"COLUMNS": "40"}).text

    assert max(len(line) for line in screen.splitlines()) <= 40
    assert "temperature: min 0, max 1" in screen


def test_wide_signs_count_twice_where_the_lines_of_show_are_folded(llmcli: Program) -> None:
    llmcli.configure(f'[providers.work]\nadapter = "echo"\nmodels = ["{"日本語" * 20}"]\n')

    screen = on_terminal(llmcli, "providers", "show", "work", env={"COLUMNS": "40"}).text

    assert max(map(cells, screen.splitlines())) <= 40
    assert screen.count("日") == 20


def test_on_a_terminal_of_80_columns_the_list_has_a_name_and_a_key_for_each(llmcli: Program) -> None:
    heading, first, *rest = on_terminal(llmcli, "providers", "--no-config").text.splitlines()

    assert {"ID", "NAME", "KEY", "DEFAULT"} <= set(heading.split())
    assert first.split("  ")[0] == "echo"
    assert max(map(cells, rest)) <= 80
