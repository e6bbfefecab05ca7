"""
The yardstick: what a good engineer writes against httpx in a few lines. Streams one chat completion to stdout.

    python plain.py URL [CA_FILE] <prompt
"""

import json
import os
import ssl
import sys

import httpx


def main(url: str, ca_file: str | None = None) -> None:
    """Ask with the prompt on stdin; write each piece of the answer as it arrives."""
    verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    body = {"model": "benchmark", "stream": True, "messages": [{"role": "user", "content": sys.stdin.read()}]}
    with httpx.Client(verify=verify, headers=headers, timeout=60) as client:
        with client.stream("POST", url, json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    choices = json.loads(line[6:])["choices"]
                    if choices and (text := choices[0]["delta"].get("content")):
                        sys.stdout.write(text)
                        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
