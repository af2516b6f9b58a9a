"""``sightline vlm``: ``serve`` a model with vLLM, or the ``builtin`` one, by one protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.server.cli.model_commands import vllm

HELP = "serve a vision-language model for answer_question"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    vllm.configure(kinds.add_parser("serve", help=vllm.HELP, description=vllm.HELP))
    builtin = kinds.add_parser(
        "builtin",
        help="the tiny LLaVA of the drawn world, or any Hugging Face LLaVA folder, on this machine",
    )
    builtin.add_argument("--host", default="127.0.0.1", help="it asks nobody who they are")
    builtin.add_argument("--port", type=int, default=8377)
    builtin.add_argument("--model", type=Path, help="a LLaVA folder instead of the built-in one")
    builtin.add_argument("--name", help="the name to serve it under; default: the folder's")
    builtin.add_argument("--device", default="cpu")


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    if arguments.kind == "serve":
        return vllm.run(arguments)
    # Seconds of torch that parsing a command line must not cost.
    from sightline.server.models.model_server.builtin.builtin_server import main
    from sightline.server.models.model_server.builtin.openai_app import BUILTIN

    return main(
        arguments.model or BUILTIN,
        host=arguments.host,
        port=arguments.port,
        name=arguments.name,
        device=arguments.device,
    )
