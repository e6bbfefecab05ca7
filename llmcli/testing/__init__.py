'''
The conformance kit for the author of a provider. Layer 2.

Write down what your API sends, as it sends it, and subclass one class; pytest then makes some ninety checks, each a
test of its own. A check that fails says what to change in your adapter. `pip install 'llmcli[testing]'` brings pytest;
nothing of the kit is registered in it, and importing `llmcli.testing` itself does not need it.

    # tests/test_conformance.py
    from llmcli.errors import AuthenticationFailed, Busy, ProviderFailed
    from llmcli.testing import Answer, Failure, Samples, body, sse
    from llmcli.testing.conformance import HTTPConformance
    from llmcli.types import Usage

    from llmcli_acme import Acme

    ANSWER = Answer(
        "Grüße 🦙\\nBis bald.",
        stream=(
            sse({"model": "acme-1", "text": "Grüße 🦙"}),
            sse({"text": "\\nBis bald."}),
            sse({"stop": "end", "tokens": {"in": 3, "out": 5}}),
        ),
        whole=body({"model": "acme-1", "text": "Grüße 🦙\\nBis bald.", "stop": "end", "tokens": {"in": 3, "out": 5}}),
        usage=Usage(3, 5, 8),
        model="acme-1",
    )

    class TestAcme(HTTPConformance):
        provider = Acme
        samples = Samples(
            ANSWER,
            errors=(
                Failure(b'{"error": "the key is wrong"}', AuthenticationFailed, 401),
                Failure(b'{"error": "slow down"}', Busy, 429, {"Retry-After": "7"}, retry_after=7.0),
            ),
            error_whole=Failure(b'{"error": "out of order"}', ProviderFailed),
            error_in_stream=Failure(sse({"error": "out of order"}), ProviderFailed),
            others=(ANSWER._replace(says="Cut", stream=(sse({"text": "Cut"}), sse({"stop": "limit"})), whole=None,
                                    finish="length", usage=None, model=None),),
            models=(b'{"models": ["acme-1", "acme-2"]}',),
            model_ids=("acme-1", "acme-2"),
        )

A sample is bytes as they come over the wire. `sse`, `json_line` and `body` write a document as services do; bytes that
were recorded (`curl -N`) are better. `Answer.marker` says how many of the last records are the end marker (1): before
them an answer must count as incomplete, behind them as complete.

What a provider declares needs a sample: `Answer.stream` where it streams, `Samples.thinking`, `Samples.tool_calls` and
`Samples.completion` where `capabilities` say thinking, tools and generate, `Samples.models` where `models_request()`
gives a request. What an API does not have is left out, and its checks are skipped with the reason; a capability that is
not declared must be refused (`super().check(request)` does). Where a check cannot hold for an API, say so and why:

    waived = {"the-model-is-sent": "the server has one model"}

A provider that needs a configuration is given it: `config = ProviderConfig("acme", own={"region": "eu"})`; one that
takes only keys of a certain form is given one: `key = "kit:0123"`.

A provider that performs by itself subclasses `NativeConformance` and starts a server of its protocol on this machine
that plays records. The checks read the answer through the driver:

    class TestAcmeSocket(NativeConformance):
        provider = AcmeSocket
        samples = Samples(...)          # the records are messages, as they are sent

        @contextmanager
        def serve(self, records, *, stay):
            """Send the records to each client; then close, or with `stay` wait until the client goes."""
            with AcmeServer(records, stay) as server:   # has base_url, requests (what came), gone (an Event)
                yield server

A provider without a wire (a model in this process) leaves `serve` out and tells by `Answer.options` and
`Failure.options` what has it answer so.

Without pytest: `run(Subject(Acme, SAMPLES))` returns a `Result(id, title, status, message)` for each check; without
samples it makes those that need none, and with `connect=False` it leaves out those over a real connection.
'''

from llmcli.testing.checks import CHECKS, Result, results, run
from llmcli.testing.samples import Answer, Failure, Samples, body, json_line, sse
from llmcli.testing.subject import Check, CheckFailed, CheckSkipped, Played, Serve, Subject

__all__ = [
    "CHECKS",
    "Answer",
    "Check",
    "CheckFailed",
    "CheckSkipped",
    "Failure",
    "Played",
    "Result",
    "Samples",
    "Serve",
    "Subject",
    "body",
    "json_line",
    "results",
    "run",
    "sse",
]
