"""
The public surface of llmcli: what a provider plugin imports. Every other module is internal.
"""

__version__ = "0.1.0"
