"""Configuration files of clients: read, add and remove the entry of one server.

Every change is checked: the new text must parse to the old content with exactly that entry changed.
"""

from __future__ import annotations

import copy
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sightline.server.cli.connect import jsonc_edit, yaml_edit
from sightline.storage.errors import ConfigurationError

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConfigDocument(ABC):
    """A file format; ``section`` is the key of all servers. Methods raise ValueError."""

    section: str

    @abstractmethod
    def parse(self, text: str) -> dict[str, Any]:
        """Return the content of the file."""

    @abstractmethod
    def _set(self, text: str, name: str, entry: Entry) -> str: ...

    @abstractmethod
    def _remove(self, text: str, name: str) -> str: ...

    def entry(self, text: str, name: str) -> Any:
        """Return the entry of a server, None if there is none."""
        return self._servers(self.parse(text)).get(name)

    def with_entry(self, text: str, name: str, entry: Entry) -> str:
        """Return the text with the entry added or replaced."""
        expected = copy.deepcopy(self.parse(text))
        self._servers(expected)
        expected[self.section] = {**(expected.get(self.section) or {}), name: dict(entry)}
        return self._checked(self._set(text, name, entry), expected)

    def without_entry(self, text: str, name: str) -> str:
        """Return the text without the entry."""
        expected = copy.deepcopy(self.parse(text))
        if self._servers(expected).pop(name, None) is None:
            return text
        return self._checked(self._remove(text, name), expected)

    def render(self, name: str, entry: Entry) -> str:
        """Return a file with only this entry."""
        return self.with_entry("", name, entry).rstrip("\n")

    def _servers(self, content: dict[str, Any]) -> dict[str, Any]:
        servers = content.get(self.section) or {}
        if not isinstance(servers, dict):
            raise ValueError(f"has {self.section!r}, which is not a table of servers")
        return servers

    def _checked(self, text: str, expected: Mapping[str, Any]) -> str:
        with suppress(ValueError):
            if self.parse(text) == expected:
                return text
        raise ConfigurationError(
            "The form of the configuration file is not supported. It was not changed. Add the "
            "output of --print yourself."
        )


class JsonConfig(ConfigDocument):
    """JSON, with comments and trailing commas as editors accept them."""

    def parse(self, text: str) -> dict[str, Any]:
        return jsonc_edit.parse_jsonc(text)

    def _set(self, text: str, name: str, entry: Entry) -> str:
        return jsonc_edit.set_member(text, self.section, name, entry)

    def _remove(self, text: str, name: str) -> str:
        return jsonc_edit.remove_member(text, self.section, name)


class TomlConfig(ConfigDocument):
    """TOML, with its comments."""

    def parse(self, text: str) -> dict[str, Any]:
        return tomllib.loads(text)

    def _set(self, text: str, name: str, entry: Entry) -> str:
        # Servers with dotted keys and in an inline table cannot contain a table.
        for inline in (False, True):
            with suppress(ValueError):
                changed = self._set_table(text, name, entry, inline=inline)
                if self.parse(changed).get(self.section, {}).get(name) == entry:
                    return changed
        return text

    def _set_table(self, text: str, name: str, entry: Entry, *, inline: bool) -> str:
        import tomlkit

        document = tomlkit.parse(text)
        if self.section not in document:
            document[self.section] = tomlkit.table(is_super_table=True)
        table: Any = tomlkit.inline_table() if inline else tomlkit.table()
        for key, value in entry.items():
            item = value
            if isinstance(value, Mapping):
                item = tomlkit.inline_table()
                item.update(value)
            table[key] = item
        servers: Any = document[self.section]
        servers[name] = table
        return tomlkit.dumps(document)

    def _remove(self, text: str, name: str) -> str:
        import tomlkit

        document = tomlkit.parse(text)
        servers: Any = document[self.section]
        del servers[name]
        text = tomlkit.dumps(document)
        # An empty table of servers needs a header of its own.
        return (
            text if self.section in self.parse(text) else f"{text.rstrip()}\n\n[{self.section}]\n"
        )


class YamlConfig(ConfigDocument):
    """YAML, with its comments."""

    def parse(self, text: str) -> dict[str, Any]:
        return yaml_edit.parse_yaml(text)

    def _set(self, text: str, name: str, entry: Entry) -> str:
        return yaml_edit.set_item(text, self.section, name, entry)

    def _remove(self, text: str, name: str) -> str:
        return yaml_edit.remove_item(text, self.section, name)
