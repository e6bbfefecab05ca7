"""
One command that talks to any language model, made for shell scripts and pipes.

What a provider plugin imports stands in `llmcli.provider`, `llmcli.types` and `llmcli.errors`; the rest is internal.
"""

__version__ = "0.1.0"
