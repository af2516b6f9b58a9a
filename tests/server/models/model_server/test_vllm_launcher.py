from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from sightline.server.cli.serving import vlm
from sightline.server.models.model_server.vllm_launcher import (
    LoraAdapter,
    VllmEnvironment,
    VllmOptions,
    build_command,
    build_environment,
    check_requirements,
    inspect_environment,
    parse_adapter,
)
from sightline.storage.errors import ConfigurationError

LLAVA = "llava-hf/llava-1.5-7b-hf"
KEY = SecretStr("sk-1")
MACHINE = VllmEnvironment("linux", has_vllm=True, gpus=2)


def flag(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_command_line_is_exact() -> None:
    command = build_command(
        VllmOptions(model=LLAVA, max_images=4, tensor_parallel=2, python="/opt/v/bin/python")
    )
    assert command == [
        *("/opt/v/bin/python", "-m", "vllm.entrypoints.cli.main", "serve", LLAVA),
        *("--served-model-name", LLAVA),
        *("--host", "127.0.0.1", "--port", "8000", "--dtype", "auto"),
        *("--limit-mm-per-prompt", '{"image": 4}'),
        "--structured-outputs-config",
        '{"backend": "xgrammar", "disable_any_whitespace": true}',
        "--enable-prefix-caching",
        *("--tensor-parallel-size", "2"),
    ]


def test_options_change_the_command_and_extra_arguments_are_appended() -> None:
    command = build_command(
        VllmOptions(
            model="/models/llava",
            name="llava",
            max_images=1,
            max_context_tokens=4096,
            prefix_caching=False,
            dtype="half",
            extra_arguments=("--quantization", "fp8"),
        )
    )
    assert flag(command, "--served-model-name") == "llava"
    assert flag(command, "--max-model-len") == "4096"
    assert flag(command, "--dtype") == "half"
    assert "--no-enable-prefix-caching" in command
    assert command[-2:] == ["--quantization", "fp8"]


@pytest.mark.parametrize(("ranks", "slots", "max_rank"), [((8,), 2, 16), ((8, 64), 3, 64)])
def test_there_is_one_more_lora_slot_than_adapters(
    ranks: tuple[int, ...], slots: int, max_rank: int
) -> None:
    adapters = tuple(LoraAdapter(f"a{rank}", Path(f"/lora/{rank}"), rank) for rank in ranks)
    command = build_command(VllmOptions(model=LLAVA, max_images=1, adapters=adapters))
    assert flag(command, "--max-loras") == str(slots)
    assert flag(command, "--max-lora-rank") == str(max_rank)
    assert command[command.index("--lora-modules") + 1 :] == [
        f"a{rank}=/lora/{rank}" for rank in ranks
    ]


def test_on_a_cpu_it_uses_float32_without_compilation() -> None:
    options = VllmOptions(model=LLAVA, max_images=1, device="cpu")
    command = build_command(options)
    assert flag(command, "--dtype") == "float32"
    assert "--enforce-eager" in command
    assert "--tensor-parallel-size" not in command
    assert build_environment(options, {}, None)["TORCHDYNAMO_DISABLE"] == "1"


def test_the_key_is_in_the_environment_and_not_on_the_command_line() -> None:
    options = VllmOptions(model=LLAVA, max_images=1)
    process = build_environment(options, {"PATH": "/bin", "VLLM_NO_USAGE_STATS": "0"}, KEY)
    assert process == {"PATH": "/bin", "VLLM_NO_USAGE_STATS": "0", "VLLM_API_KEY": "sk-1"}
    assert "sk-1" not in build_command(options)


def test_an_adapter_is_loaded_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 32}))
    assert parse_adapter(f"drawn={tmp_path}") == LoraAdapter("drawn", tmp_path, 32)


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        ("drawn", None, "is not NAME=FOLDER"),
        ("=x", None, "is not NAME=FOLDER"),
        ("drawn={folder}", None, "is not a LoRA adapter"),
        ("drawn={folder}", "{", "is not a LoRA adapter"),
        ("drawn={folder}", "[]", "is not a LoRA adapter"),
        ("drawn={folder}", '{"r": 1000}', "has rank 1000. The maximum of vLLM is 512"),
        ("drawn={folder}", '{"r": "8"}', "has rank '8'"),
    ],
)
def test_an_invalid_adapter_is_rejected(
    tmp_path: Path, text: str, config: str | None, message: str
) -> None:
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ConfigurationError, match=message):
        parse_adapter(text.format(folder=tmp_path))


@pytest.mark.parametrize(
    ("machine", "options", "message"),
    [
        (
            VllmEnvironment("darwin", has_vllm=False, gpus=0),
            VllmOptions(model=LLAVA, max_images=1),
            "runs on Linux only; this is darwin.*VLM__MODEL=builtin",
        ),
        (
            VllmEnvironment("linux", has_vllm=False, gpus=1),
            VllmOptions(model=LLAVA, max_images=1),
            "Run `pip install vllm` in that environment.*--python",
        ),
        (
            VllmEnvironment("linux", has_vllm=True, gpus=0),
            VllmOptions(model=LLAVA, max_images=1),
            "no CUDA device.*--device cpu",
        ),
        (
            MACHINE,
            VllmOptions(model=LLAVA, max_images=1, tensor_parallel=4),
            "--tensor-parallel 4 needs 4 GPUs. This machine has 2",
        ),
        (
            MACHINE,
            VllmOptions(model=LLAVA, max_images=1, host="0.0.0.0"),
            "everybody could use the model on 0.0.0.0.*SIGHTLINE_VLM__API_KEY",
        ),
    ],
)
def test_a_missing_requirement_is_an_error_with_the_next_step(
    machine: VllmEnvironment, options: VllmOptions, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_requirements(options, machine, None)


def test_complete_requirements_are_accepted() -> None:
    check_requirements(VllmOptions(model=LLAVA, max_images=1, tensor_parallel=2), MACHINE, None)
    check_requirements(VllmOptions(model=LLAVA, max_images=1, host="0.0.0.0"), MACHINE, KEY)
    on_cpu = VllmEnvironment("linux", has_vllm=True, gpus=0)
    check_requirements(VllmOptions(model=LLAVA, max_images=1, device="cpu"), on_cpu, None)


def test_the_given_interpreter_is_inspected(tmp_path: Path) -> None:
    assert inspect_environment(sys.executable).platform == sys.platform
    with pytest.raises(ConfigurationError, match="cannot run the interpreter"):
        inspect_environment(str(tmp_path / "python"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("gpu.lan", "http://gpu.lan:8000"),
    ],
)
def test_the_base_url_is_reachable_from_this_machine(host: str, url: str) -> None:
    assert VllmOptions(model=LLAVA, max_images=1, host=host).base_url == url


def test_print_command_prints_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser()
    vlm.configure_vlm(parser)
    given = ["serve", "Qwen/Qwen2.5-VL-7B-Instruct", "--print-command"]
    assert vlm.run_vlm(parser.parse_args([*given, "--vllm-arguments=--seed '1 2'"])) == 0
    command = shlex.split(capsys.readouterr().out)
    assert flag(command, "--limit-mm-per-prompt") == '{"image": 8}'
    assert command[-2:] == ["--seed", "1 2"]
