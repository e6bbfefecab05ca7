"""`llmcli providers`: what there is, and whether it has its key."""

from tests.program import Program


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


def test_show_tells_all_of_one_provider(llmcli: Program) -> None:
    row = llmcli("providers", "show", "anthropic", "--json").json

    assert row["settings"]["temperature"] == {"min": 0, "max": 1}
    assert row["key_sources"] == ["ANTHROPIC_API_KEY"]
    assert "anthropic_version" in row["configuration_keys"]


def test_show_of_an_unknown_provider_exits_3(llmcli: Program) -> None:
    assert llmcli("providers", "show", "nobody").status == 3
