"""Command line, environment and requirements of vLLM's server.

vLLM may be installed in another environment than Sightline, because both pin torch: ``python``
is the interpreter of that environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from sightline.server.config import absolute_path
from sightline.storage.errors import ConfigurationError, shown

#: Values that vLLM accepts for ``--max-lora-rank``.
_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
_DEFAULT_RANK: Final = 16
_ALTERNATIVES: Final = (
    "Serve the model on another machine and set SIGHTLINE_VLM__BASE_URL here, or set "
    "SIGHTLINE_VLM__MODEL=builtin, which runs everywhere."
)
#: Small models fill JSON with whitespace if it is allowed.
_STRUCTURED: Final = {"backend": "xgrammar", "disable_any_whitespace": True}
_INSPECT: Final = """
import importlib.util, json
has_vllm = importlib.util.find_spec("vllm") is not None
gpus = 0
if has_vllm:
    import torch
    gpus = torch.cuda.device_count()
print(json.dumps({"vllm": has_vllm, "gpus": gpus}))
"""
_INSPECT_TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """A LoRA adapter: served name, folder and rank."""

    name: str
    folder: Path
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmOptions:
    """Options of the server. ``extra_arguments`` are passed to vLLM unchanged."""

    model: str
    max_images: int
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    adapters: tuple[LoraAdapter, ...] = ()
    tensor_parallel: int = 1
    max_context_tokens: int | None = None
    dtype: str = "auto"
    prefix_caching: bool = True
    device: Literal["cuda", "cpu"] = "cuda"
    python: str = field(default_factory=lambda: sys.executable)
    extra_arguments: tuple[str, ...] = ()

    @property
    def served_name(self) -> str:
        """Return the model name for clients."""
        return self.name or self.model

    @property
    def base_url(self) -> str:
        """Return the URL for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


@dataclass(frozen=True, slots=True)
class VllmEnvironment:
    """The properties of this machine that vLLM depends on."""

    platform: str
    has_vllm: bool
    gpus: int


def build_command(options: VllmOptions) -> list[str]:
    """Return the command line."""
    on_cpu = options.device == "cpu"
    command = [options.python, "-m", "vllm.entrypoints.cli.main", "serve", options.model]
    command += ["--served-model-name", options.served_name]
    command += ["--host", options.host, "--port", str(options.port)]
    command += ["--dtype", "float32" if on_cpu and options.dtype == "auto" else options.dtype]
    command += ["--limit-mm-per-prompt", json.dumps({"image": options.max_images})]
    command += ["--structured-outputs-config", json.dumps(_STRUCTURED)]
    command += [f"--{'enable' if options.prefix_caching else 'no-enable'}-prefix-caching"]
    if on_cpu:
        command += ["--enforce-eager"]  # compilation for the CPU takes longer than it saves
    else:
        command += ["--tensor-parallel-size", str(options.tensor_parallel)]
    if options.max_context_tokens is not None:
        command += ["--max-model-len", str(options.max_context_tokens)]
    if options.adapters:
        rank = max(_DEFAULT_RANK, *(adapter.rank for adapter in options.adapters))
        max_rank = next(size for size in _RANKS if size >= rank)
        # With exactly one slot per adapter, requests to the base model in the same batch as an
        # adapter's requests return corrupt answers.
        command += ["--enable-lora", "--max-loras", str(len(options.adapters) + 1)]
        command += ["--max-lora-rank", str(max_rank), "--lora-modules"]
        command += [f"{adapter.name}={adapter.folder}" for adapter in options.adapters]
    return [*command, *options.extra_arguments]


def build_environment(
    options: VllmOptions, inherited: Mapping[str, str], api_key: SecretStr | None
) -> dict[str, str]:
    """Return the environment of vLLM. It contains the key, which `ps` does not show."""
    defaults = {"VLLM_NO_USAGE_STATS": "1"}
    if options.device == "cpu":
        # With TorchDynamo, the first request with log-probabilities compiles for 30 seconds.
        defaults |= {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    # Variables of the caller have priority, except for the key.
    merged = defaults | dict(inherited)
    if api_key is not None:
        merged["VLLM_API_KEY"] = api_key.get_secret_value()
    return merged


def parse_adapter(text: str) -> LoraAdapter:
    """Parse ``NAME=FOLDER`` of a PEFT adapter. Raises ConfigurationError."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise ConfigurationError(f"The adapter {shown(text)} is not NAME=FOLDER.")
    path = absolute_path(folder)
    try:
        config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
        rank = config["r"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{str(path)!r} is not a LoRA adapter of PEFT (adapter_config.json): {error}"
        ) from error
    if not isinstance(rank, int) or not 0 < rank <= _RANKS[-1]:
        raise ConfigurationError(
            f"The adapter {name!r} has rank {shown(rank)}. The maximum of vLLM is {_RANKS[-1]}."
        )
    return LoraAdapter(name, path, rank)


def inspect_environment(python: str) -> VllmEnvironment:
    """Run ``python`` to find vLLM and GPUs. Takes seconds. Raises ConfigurationError."""
    try:
        process = subprocess.run(  # noqa: S603 - the interpreter comes from the user
            [python, "-c", _INSPECT],
            capture_output=True,
            text=True,
            timeout=_INSPECT_TIMEOUT_SECONDS,
            check=True,
        )
        result = json.loads(process.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise ConfigurationError(f"cannot run the interpreter {python!r}: {error}") from error
    return VllmEnvironment(sys.platform, bool(result["vllm"]), int(result["gpus"]))


def check_requirements(
    options: VllmOptions, machine: VllmEnvironment, api_key: SecretStr | None
) -> None:
    """Raise ConfigurationError with the missing requirement and the next step."""
    if machine.platform != "linux":
        raise ConfigurationError(
            f"vLLM runs on Linux only; this is {machine.platform}. {_ALTERNATIVES}"
        )
    if not machine.has_vllm:
        raise ConfigurationError(
            f"vLLM is not installed for {options.python}. Run `pip install vllm` in that "
            f"environment, or set --python to one that has vLLM. {_ALTERNATIVES}"
        )
    if options.device == "cuda" and machine.gpus == 0:
        raise ConfigurationError(
            "There is no CUDA device. With a CPU build of vLLM, use --device cpu, which is slow. "
            f"{_ALTERNATIVES}"
        )
    if options.device == "cuda" and options.tensor_parallel > machine.gpus:
        raise ConfigurationError(
            f"--tensor-parallel {options.tensor_parallel} needs {options.tensor_parallel} GPUs. "
            f"This machine has {machine.gpus}."
        )
    if options.host not in ("127.0.0.1", "localhost", "::1") and api_key is None:
        raise ConfigurationError(
            f"Without a key everybody could use the model on {options.host}. Set "
            "SIGHTLINE_VLM__API_KEY, or serve on 127.0.0.1."
        )
