"""What is sent, in the API's own form: that, the kit cannot know."""

import json
from typing import Any

import pytest
from llmcli.errors import RequestRejected
from llmcli.types import ChatRequest, ProviderConfig, message

from llmcli_skeleton import Skeleton

ASKED = ChatRequest("skeleton-large", (message("system", "Be brief."), message("user", "Hello.")))
PROVIDER = Skeleton(ProviderConfig("skeleton"))


def sent(request: ChatRequest, *, stream: bool = False) -> Any:
    return json.loads(PROVIDER.chat_request(request, stream=stream).body or b"")


def test_a_conversation_in_the_api_s_own_form() -> None:
    assert sent(ASKED) == {
        "conversation": [{"speaker": "rules", "text": "Be brief."}, {"speaker": "human", "text": "Hello."}],
        "settings": {"model_name": "skeleton-large"},
        "stream": False,
    }


def test_settings_have_the_api_s_own_names() -> None:
    settings = sent(ASKED._replace(max_tokens=9, temperature=0.5))["settings"]

    assert settings == {"model_name": "skeleton-large", "max_length": 9, "creativity": 0.5}


def test_what_the_api_does_not_have_is_refused() -> None:
    with pytest.raises(RequestRejected):
        PROVIDER.check(ASKED._replace(seed=1))
