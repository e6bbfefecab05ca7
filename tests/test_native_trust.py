"""What a native provider whose library connects by itself is told: whom to trust, and which proxy to use."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from llmcli.answer import Call, native_call
from llmcli.config import Config, provider_setup
from llmcli.deadlines import Deadlines
from llmcli.errors import UsageError
from llmcli.keys import Secret, check_key_transport
from llmcli.provider import NativeCall
from llmcli.providers.echo import Echo
from llmcli.transport import Transport
from llmcli.types import ProviderConfig, Timeouts


def call(env: Mapping[str, str], **said: str) -> NativeCall:
    made = Call(Transport(env=env, **said))  # type: ignore[arg-type]
    return native_call(Echo(ProviderConfig("echo")), made, Deadlines(Timeouts(), started=0), stream=True)


def test_the_flags_certificates_replace_those_of_the_environment() -> None:
    env = {"SSL_CERT_FILE": "/from/env.pem", "SSL_CERT_DIR": "/from/dir"}
    assert call(env).trusted() == ("/from/env.pem", "/from/dir")
    assert call(env, ca_bundle="/from/flag.pem").trusted() == ("/from/flag.pem",)


def test_without_a_word_the_systems_certificates_are_trusted() -> None:
    (path,) = call({}).trusted()
    assert Path(path).exists()


def test_the_environments_proxy_is_used_but_never_for_this_machine() -> None:
    env = {"https_proxy": "http://user:pass@proxy.test:3128"}
    found = call(env).proxy("grpcs://models.test:443")
    assert found is not None
    assert (found.url, found.label) == (env["https_proxy"], "proxy http://proxy.test:3128 (https_proxy)")
    assert call(env).proxy("grpc://models.test:80") is None
    assert call(env).proxy("grpcs://localhost:443") is None
    assert call(env, proxy="").proxy("grpcs://models.test") is None


def test_a_key_is_not_sent_over_plain_grpc_to_a_public_address() -> None:
    setup = provider_setup(Config(), "echo", Echo, {})
    secret = Secret("sk-secret", "test")
    with pytest.raises(UsageError, match=r"over plain grpc to models\.test") as caught:
        check_key_transport("grpc://models.test:50051", secret, setup)
    assert caught.value.hint is not None
    assert "use grpcs" in caught.value.hint
    check_key_transport("grpcs://models.test:50051", secret, setup)
    check_key_transport("grpc://127.0.0.1:50051", secret, setup)
