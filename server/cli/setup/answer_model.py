"""The vision-language model of ``answer_question``."""

from __future__ import annotations

from typing import Any, Final

from sightline.server.config.settings import VlmSettings
from sightline.server.observability.terminal_questions import ask_choice, ask_text
from sightline.storage.errors import ConfigurationError, shown

_OFF: Final = "off"
_BUILTIN: Final = "builtin"
_ENDPOINT: Final = "endpoint"
_CHOICES: Final = {
    _OFF: "answer_question returns evidence, and the agent answers itself",
    _BUILTIN: "a tiny model in this process; it knows drawn scenes only",
    _ENDPOINT: "an OpenAI-compatible address, such as that of `sightline vlm serve`",
}
_DEFAULT_ADDRESS: Final = "http://127.0.0.1:8000/v1"


def ask_answer_model(present: VlmSettings) -> tuple[str, str | None]:
    """Ask for ``off``, ``builtin`` or an address with the name of a model there."""
    now = _ENDPOINT if present.base_url else present.model or _OFF
    choice = ask_choice("Answers:", _CHOICES, now if now in _CHOICES else _OFF)
    if choice != _ENDPOINT:
        return choice, None
    address = ask_text("Address", present.base_url or _DEFAULT_ADDRESS)
    return address, ask_text("Name of the model there", present.model or "")


def answer_settings(choice: str | None, model: str | None) -> dict[str, Any]:
    """Return the settings of a choice; none for None. Raises ConfigurationError."""
    if choice is None:
        return {}
    if choice == _OFF:
        return {"vlm.base_url": None, "vlm.model": None}
    if choice == _BUILTIN:
        return {"vlm.base_url": None, "vlm.model": _BUILTIN}
    if not choice.startswith(("http://", "https://")) or not model:
        raise ConfigurationError(
            f"--answers {shown(choice)} is wrong. Give 'off', 'builtin', or a URL together with "
            "--answers-model NAME."
        )
    return {"vlm.base_url": choice, "vlm.model": model}
