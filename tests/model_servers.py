"""Servers that list models, and tables of the configuration that lead to them."""

from typing import Any

from tests.program import Program
from tests.servers import Connection, Script, answers


def lists(*names: str, **more: Any) -> Script:
    """An OpenAI-compatible server that lists these models, each with the same fields besides."""
    return answers(200, {"object": "list", "data": [{"id": name, **more} for name in names]})


def never_answers(connection: Connection) -> None:
    """A server that takes the question and says nothing."""
    connection.wait_until_gone()


def configure(llmcli: Program, more: str = "", **urls: str) -> None:
    """An OpenAI-compatible provider for each name; `more` goes before them."""
    tables = [f'[providers.{name}]\nadapter = "openai-compatible"\nbase_url = "{url}"\n' for name, url in urls.items()]
    llmcli.configure("\n".join([more, *tables]))
