"""What ``sightline vlm serve`` runs: vLLM's own server, with the flags that Sightline needs.

`command` and `environment` are pure. vLLM may live in another environment than Sightline (each pins
its own torch): ``python`` names that environment's interpreter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from sightline.storage.errors import ConfigurationError, shown

#: The ranks that vLLM can be told to make room for.
_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
_DEFAULT_RANK: Final = 16
_ELSEWHERE: Final = (
    "Serve the model on such a machine and set SIGHTLINE_VLM_BASE_URL here, or use "
    "`sightline vlm builtin`, which runs anywhere."
)
#: Small models fill their answers with blanks unless JSON is held to a form without any.
_STRUCTURED: Final = {"backend": "xgrammar", "disable_any_whitespace": True}
_LOOK: Final = """
import importlib.util, json
found = importlib.util.find_spec("vllm") is not None
gpus = 0
if found:
    import torch
    gpus = torch.cuda.device_count()
print(json.dumps({"vllm": found, "gpus": gpus}))
"""
_LOOK_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter: the model name that it is served under, its folder and its rank."""

    name: str
    folder: Path
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What to serve and how. ``extra`` is handed to vLLM as it is."""

    model: str
    images: int
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    adapters: tuple[Adapter, ...] = ()
    tensor_parallel: int = 1
    context_tokens: int | None = None
    dtype: str = "auto"
    prefix_caching: bool = True
    device: Literal["cuda", "cpu"] = "cuda"
    python: str = field(default_factory=lambda: sys.executable)
    extra: tuple[str, ...] = ()

    @property
    def served_name(self) -> str:
        """The model name that clients ask for."""
        return self.name or self.model

    @property
    def base_url(self) -> str:
        """Where clients on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What bears on running vLLM here."""

    platform: str
    has_vllm: bool
    gpus: int


def command(serving: Serving) -> list[str]:
    """The exact command line."""
    dtype = "float32" if serving.device == "cpu" and serving.dtype == "auto" else serving.dtype
    line = [serving.python, "-m", "vllm.entrypoints.cli.main", "serve", serving.model]
    line += ["--served-model-name", serving.served_name]
    line += ["--host", serving.host, "--port", str(serving.port), "--dtype", dtype]
    line += ["--limit-mm-per-prompt", json.dumps({"image": serving.images})]
    line += ["--structured-outputs-config", json.dumps(_STRUCTURED)]
    caching = "enable" if serving.prefix_caching else "no-enable"
    line += [f"--{caching}-prefix-caching"]
    if serving.device == "cuda":
        line += ["--tensor-parallel-size", str(serving.tensor_parallel)]
    else:
        line += ["--enforce-eager"]  # compiling for the CPU takes longer than it saves
    if serving.context_tokens is not None:
        line += ["--max-model-len", str(serving.context_tokens)]
    return line + _lora(serving.adapters) + list(serving.extra)


def _lora(adapters: Sequence[Adapter]) -> list[str]:
    if not adapters:
        return []
    rank = max(adapter.rank for adapter in adapters)
    room = next(size for size in _RANKS if size >= max(rank, _DEFAULT_RANK))
    modules = [f"{adapter.name}={adapter.folder}" for adapter in adapters]
    # One more than there are: with as many as there are, requests to the base model that share a
    # batch with an adapter's come back corrupt.
    slots = len(adapters) + 1
    flags = ["--enable-lora", "--max-loras", str(slots), "--max-lora-rank", str(room)]
    return [*flags, "--lora-modules", *modules]


def environment(
    serving: Serving, inherited: Mapping[str, str], api_key: SecretStr | None
) -> dict[str, str]:
    """The environment of vLLM's process: the key is here, where no list of processes shows it."""
    ours = {"VLLM_NO_USAGE_STATS": "1"}
    if serving.device == "cpu":
        # Without the first, a request with log-probabilities is compiled for half a minute.
        ours |= {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    # What the caller has set wins, the key aside.
    merged = ours | dict(inherited)
    if api_key is not None:
        merged["VLLM_API_KEY"] = api_key.get_secret_value()
    return merged


def read_adapter(text: str) -> Adapter:
    """An adapter of ``NAME=FOLDER``, as peft writes them; raises ConfigurationError."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise ConfigurationError(f"the adapter {shown(text)} is not NAME=FOLDER")
    path = Path(folder).expanduser().absolute()
    try:
        config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
        rank = config["r"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{str(path)!r} holds no LoRA adapter of peft (adapter_config.json): {error}"
        ) from error
    if not isinstance(rank, int) or not 0 < rank <= _RANKS[-1]:
        raise ConfigurationError(
            f"the adapter {name!r} has rank {shown(rank)}; vLLM takes up to {_RANKS[-1]}"
        )
    return Adapter(name, path, rank)


def look(python: str) -> Machine:
    """What there is; starts ``python``, which takes seconds. Raises ConfigurationError."""
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user names
            [python, "-c", _LOOK], capture_output=True, text=True, timeout=_LOOK_SECONDS, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise ConfigurationError(f"the interpreter {python!r} does not run: {error}") from error
    return Machine(sys.platform, bool(found["vllm"]), int(found["gpus"]))


def check(serving: Serving, machine: Machine, api_key: SecretStr | None) -> None:
    """Raises ConfigurationError that says what is missing and what to do instead."""
    if machine.platform != "linux":
        raise ConfigurationError(
            f"vLLM runs on Linux, and this is {machine.platform}. {_ELSEWHERE}"
        )
    if not machine.has_vllm:
        raise ConfigurationError(
            f"vLLM is not installed for {serving.python}: `pip install 'sightline[vllm]'` there, "
            f"or name the interpreter that has it with --python. {_ELSEWHERE}"
        )
    if serving.device == "cuda" and machine.gpus == 0:
        raise ConfigurationError(
            "there is no CUDA device that torch can use. With a CPU build of vLLM, give "
            f"--device cpu; it is slow. {_ELSEWHERE}"
        )
    if serving.device == "cuda" and serving.tensor_parallel > machine.gpus:
        raise ConfigurationError(
            f"--tensor-parallel {serving.tensor_parallel} needs as many GPUs; there are "
            f"{machine.gpus}"
        )
    if serving.host not in ("127.0.0.1", "localhost", "::1") and api_key is None:
        raise ConfigurationError(
            f"on {serving.host} others could ask the model: set SIGHTLINE_VLM_API_KEY, or serve on "
            "127.0.0.1"
        )
