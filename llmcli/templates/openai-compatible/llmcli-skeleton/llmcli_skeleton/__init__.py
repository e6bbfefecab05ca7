"""
Skeleton, which speaks OpenAI's chat completions.

Say here where the facts come from: the service's documentation, its version, the date.
"""

from llmcli.provider import ApiKey
from llmcli.providers.vendors import OpenAICompatible


class Skeleton(OpenAICompatible):
    """
    What is not said is as in `OpenAICompatible`: thinking from `reasoning_content` and `<think>` tags, tool calls,
    the list of models.
    """

    id = "skeleton"
    name = "Skeleton"
    default_base_url = "https://api.skeleton.example/v1"
    api_key = ApiKey(env=("SKELETON_API_KEY",), hint="https://skeleton.example/keys")
