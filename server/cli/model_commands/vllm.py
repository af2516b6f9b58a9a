"""``sightline vlm serve``: a LLaVA-class model behind vLLM."""

from __future__ import annotations

import argparse
import os
import sys

HELP = "a LLaVA-class model with vLLM, on Linux with CUDA"

_PATIENCE_SECONDS = 3600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``sightline vlm serve``."""
    parser.add_argument("model", help="name on a model hub, or folder")
    parser.add_argument("--name", help="name to serve it under; default: the model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--images", type=int, help="most pictures in one prompt; default: what its family takes"
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="also serve this LoRA adapter, under this name; may be repeated",
    )
    parser.add_argument("--tensor-parallel", type=int, default=1, help="GPUs to share it among")
    parser.add_argument("--context", type=int, help="most tokens of prompt and answer together")
    parser.add_argument("--dtype", default="auto", help="precision; default: the model's own")
    parser.add_argument("--no-prefix-cache", action="store_true", help="do not reuse prompt starts")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter of the environment that has vLLM"
    )
    parser.add_argument(
        "--print-command", action="store_true", help="print vLLM's command line and stop"
    )
    parser.add_argument(
        "--vllm-arguments",
        default="",
        metavar="TEXT",
        help="more of vLLM's own arguments, such as '--quantization fp8'",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; vLLM's exit code."""
    import asyncio
    import shlex

    from sightline.server.config.settings import load
    from sightline.server.models.model_server import vllm_launcher
    from sightline.server.models.model_server.subprocess_supervisor import supervise
    from sightline.tools.boxes.model_profiles import choose

    settings = load()
    profile = choose(arguments.name or arguments.model, settings.vlm_profile)
    serving = vllm_launcher.Serving(
        model=arguments.model,
        images=arguments.images or profile.pictures,
        name=arguments.name,
        host=arguments.host,
        port=arguments.port,
        adapters=tuple(map(vllm_launcher.read_adapter, arguments.adapter)),
        tensor_parallel=arguments.tensor_parallel,
        context_tokens=arguments.context,
        dtype=arguments.dtype,
        prefix_caching=not arguments.no_prefix_cache,
        device=arguments.device,
        python=arguments.python,
        extra=tuple(shlex.split(arguments.vllm_arguments)),
    )
    command = vllm_launcher.command(serving)
    if arguments.print_command:
        print(shlex.join(command))
        return 0
    vllm_launcher.check(serving, vllm_launcher.look(serving.python), settings.vlm_api_key)
    _say(f"starting vLLM for {serving.served_name}")

    def ready() -> None:
        _say(
            f"ready; set SIGHTLINE_VLM_BASE_URL={serving.base_url}/v1 "
            f"SIGHTLINE_VLM_MODEL={shlex.quote(serving.served_name)}"
        )
        if profile.note:
            _say(profile.note)

    return asyncio.run(
        supervise(
            command,
            vllm_launcher.environment(serving, os.environ, settings.vlm_api_key),
            f"{serving.base_url}/health",
            tell=_say,
            ready=ready,
            patience_seconds=_PATIENCE_SECONDS,
        )
    )


def _say(line: str) -> None:
    """To stderr: stdout is vLLM's."""
    print(f"sightline vlm: {line}", file=sys.stderr, flush=True)
