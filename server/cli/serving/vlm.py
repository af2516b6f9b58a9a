"""``sightline vlm serve``: serve a vision-language model with vLLM."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys

from sightline.server.config import load_settings
from sightline.server.models.model_server import vllm_launcher
from sightline.server.models.model_server.subprocess_supervisor import supervise
from sightline.server.observability.terminal import write_lines
from sightline.tools.boxes.model_families import choose_profile

_VLLM_HELP = "run a LLaVA-class model with vLLM, on Linux with CUDA"
_LOADING_TIMEOUT_SECONDS = 3600.0


def configure_vlm(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _configure_vllm(kinds.add_parser("serve", help=_VLLM_HELP, description=_VLLM_HELP))


def _configure_vllm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name on a model hub, or folder")
    parser.add_argument("--name", help="served name (default: the model)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--images", type=int, help="maximum images per prompt (default: that of the model family)"
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="also serve this LoRA adapter under this name; can be repeated",
    )
    parser.add_argument("--tensor-parallel", type=int, default=1, help="number of GPUs")
    parser.add_argument("--context", type=int, help="maximum tokens of prompt and answer together")
    parser.add_argument("--dtype", default="auto", help="precision (default: that of the model)")
    parser.add_argument("--no-prefix-cache", action="store_true", help="disable prefix caching")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--python", default=sys.executable, help="Python interpreter of the environment with vLLM"
    )
    parser.add_argument(
        "--print-command", action="store_true", help="print the vLLM command line and exit"
    )
    parser.add_argument(
        "--vllm-arguments",
        default="",
        metavar="TEXT",
        help="more arguments of vLLM, such as '--quantization fp8'",
    )


def run_vlm(arguments: argparse.Namespace) -> int:
    """Serve until interrupted, and return the exit code of vLLM."""
    settings = load_settings()
    profile = choose_profile(arguments.name or arguments.model, settings.vlm.profile)
    options = vllm_launcher.VllmOptions(
        model=arguments.model,
        max_images=arguments.images or profile.max_images,
        name=arguments.name,
        host=arguments.host,
        port=arguments.port,
        adapters=tuple(map(vllm_launcher.parse_adapter, arguments.adapter)),
        tensor_parallel=arguments.tensor_parallel,
        max_context_tokens=arguments.context,
        dtype=arguments.dtype,
        prefix_caching=not arguments.no_prefix_cache,
        device=arguments.device,
        python=arguments.python,
        extra_arguments=tuple(shlex.split(arguments.vllm_arguments)),
    )
    command = vllm_launcher.build_command(options)
    if arguments.print_command:
        write_lines(shlex.join(command))
        return 0
    environment = vllm_launcher.inspect_environment(options.python)
    vllm_launcher.check_requirements(options, environment, settings.vlm.api_key)
    _log(f"starting vLLM for {options.served_name}")

    def on_ready() -> None:
        _log(
            f"ready; set SIGHTLINE_VLM__BASE_URL={options.base_url}/v1 "
            f"SIGHTLINE_VLM__MODEL={shlex.quote(options.served_name)}"
        )
        if profile.note:
            _log(profile.note)

    return asyncio.run(
        supervise(
            command,
            vllm_launcher.build_environment(options, os.environ, settings.vlm.api_key),
            f"{options.base_url}/health",
            report=_log,
            on_ready=on_ready,
            startup_timeout_seconds=_LOADING_TIMEOUT_SECONDS,
        )
    )


def _log(line: str) -> None:
    """Print on stderr, because vLLM uses stdout."""
    write_lines(f"sightline vlm: {line}", error=True)
