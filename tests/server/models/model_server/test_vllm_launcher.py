"""vLLM is started with the flags that Sightline needs, and what it cannot run on is said."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from sightline.server.cli.model_commands import vlm
from sightline.server.models.model_server.vllm_launcher import (
    Adapter,
    Machine,
    Serving,
    check,
    command,
    environment,
    look,
    read_adapter,
)
from sightline.storage.errors import ConfigurationError

LLAVA = "llava-hf/llava-1.5-7b-hf"
KEY = SecretStr("sk-1")
FIT = Machine("linux", has_vllm=True, gpus=2)


def flag(line: list[str], name: str) -> str:
    return line[line.index(name) + 1]


def test_the_command_line_is_exact() -> None:
    line = command(Serving(model=LLAVA, images=4, tensor_parallel=2, python="/opt/v/bin/python"))
    assert line == [
        *("/opt/v/bin/python", "-m", "vllm.entrypoints.cli.main", "serve", LLAVA),
        *("--served-model-name", LLAVA),
        *("--host", "127.0.0.1", "--port", "8000", "--dtype", "auto"),
        *("--limit-mm-per-prompt", '{"image": 4}'),
        "--structured-outputs-config",
        '{"backend": "xgrammar", "disable_any_whitespace": true}',
        "--enable-prefix-caching",
        *("--tensor-parallel-size", "2"),
    ]


def test_options_change_the_line_and_what_follows_goes_through() -> None:
    line = command(
        Serving(
            model="/models/llava",
            name="llava",
            images=1,
            context_tokens=4096,
            prefix_caching=False,
            dtype="half",
            extra=("--quantization", "fp8"),
        )
    )
    assert flag(line, "--served-model-name") == "llava"
    assert flag(line, "--max-model-len") == "4096"
    assert flag(line, "--dtype") == "half"
    assert "--no-enable-prefix-caching" in line
    assert line[-2:] == ["--quantization", "fp8"]


@pytest.mark.parametrize(("ranks", "slots", "room"), [((8,), 2, 16), ((8, 64), 3, 64)])
def test_there_is_one_more_place_for_adapters_than_adapters(
    ranks: tuple[int, ...], slots: int, room: int
) -> None:
    adapters = tuple(Adapter(f"a{rank}", Path(f"/lora/{rank}"), rank) for rank in ranks)
    line = command(Serving(model=LLAVA, images=1, adapters=adapters))
    assert flag(line, "--max-loras") == str(slots)
    assert flag(line, "--max-lora-rank") == str(room)
    assert line[line.index("--lora-modules") + 1 :] == [f"a{rank}=/lora/{rank}" for rank in ranks]


def test_on_a_cpu_it_is_exact_and_not_compiled() -> None:
    serving = Serving(model=LLAVA, images=1, device="cpu")
    line = command(serving)
    assert flag(line, "--dtype") == "float32"
    assert "--enforce-eager" in line
    assert "--tensor-parallel-size" not in line
    assert environment(serving, {}, None)["TORCHDYNAMO_DISABLE"] == "1"


def test_the_key_is_in_the_environment_and_not_on_the_command_line() -> None:
    serving = Serving(model=LLAVA, images=1)
    process = environment(serving, {"PATH": "/bin", "VLLM_NO_USAGE_STATS": "0"}, KEY)
    assert process == {"PATH": "/bin", "VLLM_NO_USAGE_STATS": "0", "VLLM_API_KEY": "sk-1"}
    assert "sk-1" not in command(serving)


def test_an_adapter_is_read_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 32}))
    assert read_adapter(f"drawn={tmp_path}") == Adapter("drawn", tmp_path, 32)


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        ("drawn", None, "is not NAME=FOLDER"),
        ("=x", None, "is not NAME=FOLDER"),
        ("drawn={folder}", None, "no LoRA adapter"),
        ("drawn={folder}", "{", "no LoRA adapter"),
        ("drawn={folder}", "[]", "no LoRA adapter"),
        ("drawn={folder}", '{"r": 1000}', "has rank 1000; vLLM takes up to 512"),
        ("drawn={folder}", '{"r": "8"}', "has rank '8'"),
    ],
)
def test_what_is_no_adapter_is_refused(
    tmp_path: Path, text: str, config: str | None, message: str
) -> None:
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ConfigurationError, match=message):
        read_adapter(text.format(folder=tmp_path))


@pytest.mark.parametrize(
    ("machine", "serving", "message"),
    [
        (
            Machine("darwin", has_vllm=False, gpus=0),
            Serving(model=LLAVA, images=1),
            "runs on Linux, and this is darwin.*sightline vlm builtin",
        ),
        (
            Machine("linux", has_vllm=False, gpus=1),
            Serving(model=LLAVA, images=1),
            r"pip install 'sightline\[vllm\]'.*--python",
        ),
        (
            Machine("linux", has_vllm=True, gpus=0),
            Serving(model=LLAVA, images=1),
            "no CUDA device.*--device cpu",
        ),
        (
            FIT,
            Serving(model=LLAVA, images=1, tensor_parallel=4),
            "--tensor-parallel 4 needs as many GPUs; there are 2",
        ),
        (
            FIT,
            Serving(model=LLAVA, images=1, host="0.0.0.0"),
            "on 0.0.0.0 others could ask.*SIGHTLINE_VLM__API_KEY",
        ),
    ],
)
def test_where_it_cannot_run_the_way_out_is_named(
    machine: Machine, serving: Serving, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check(serving, machine, None)


def test_it_may_run_where_all_is_there() -> None:
    check(Serving(model=LLAVA, images=1, tensor_parallel=2), FIT, None)
    check(Serving(model=LLAVA, images=1, host="0.0.0.0"), FIT, KEY)
    on_cpu = Machine("linux", has_vllm=True, gpus=0)
    check(Serving(model=LLAVA, images=1, device="cpu"), on_cpu, None)


def test_the_interpreter_that_is_named_is_the_one_that_is_looked_at(tmp_path: Path) -> None:
    assert look(sys.executable).platform == sys.platform
    with pytest.raises(ConfigurationError, match="does not run"):
        look(str(tmp_path / "python"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("gpu.lan", "http://gpu.lan:8000"),
    ],
)
def test_its_health_is_asked_for_where_it_listens(host: str, url: str) -> None:
    assert Serving(model=LLAVA, images=1, host=host).base_url == url


def test_the_command_prints_what_it_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser()
    vlm.configure(parser)
    given = ["serve", "Qwen/Qwen2.5-VL-7B-Instruct", "--print-command"]
    assert vlm.run(parser.parse_args([*given, "--vllm-arguments=--seed '1 2'"])) == 0
    line = shlex.split(capsys.readouterr().out)
    assert flag(line, "--limit-mm-per-prompt") == '{"image": 8}'
    assert line[-2:] == ["--seed", "1 2"]
