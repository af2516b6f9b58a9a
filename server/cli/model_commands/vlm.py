"""``sightline vlm``: serve a vision-language model over the OpenAI protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.server.cli.model_commands import vllm

HELP = "serve a vision-language model for answer_question"


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    vllm.configure(kinds.add_parser("serve", help=vllm.HELP, description=vllm.HELP))
    builtin = kinds.add_parser(
        "builtin",
        help="run the tiny built-in LLaVA, or any Hugging Face LLaVA folder, on this machine",
    )
    builtin.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; the server has no authentication"
    )
    builtin.add_argument("--port", type=int, default=8377)
    builtin.add_argument("--model", type=Path, help="LLaVA folder instead of the built-in model")
    builtin.add_argument("--name", help="served name (default: name of the folder)")
    builtin.add_argument("--device", default="cpu")


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    if arguments.kind == "serve":
        return vllm.run(arguments)
    # Slow import, which parsing the command line must not wait for.
    from sightline.server.models.model_server.builtin.builtin_server import run_server
    from sightline.server.models.model_server.builtin.openai_app import BUILTIN_VLM

    return run_server(
        arguments.model or BUILTIN_VLM,
        host=arguments.host,
        port=arguments.port,
        name=arguments.name,
        device=arguments.device,
    )
