"""Asks a model hub which files a revision has, and opens them.

On httpx and not on huggingface_hub: that library compares sizes but no hashes while it downloads,
keeps models in a cache of links that cannot be copied as a folder, and reads its settings when it
is imported. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, ValidationError

from sightline.server.models.model_files import LOCAL_DIR, first_line
from sightline.storage.errors import ConfigurationError, ModelUnavailableError, shown

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
_TIMEOUT: Final = httpx.Timeout(30.0, connect=15.0)
_HASH: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_REDIRECTS: Final = 10
_MAX_INFO_BYTES: Final = 32 << 20
#: Others can expand a thousand times more than gzip, before their size is known.
_ENCODINGS: Final = ("", "identity", "gzip")


class _Lfs(BaseModel):
    size: int
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Sibling(BaseModel):
    rfilename: str
    size: int = Field(ge=0)
    blob_id: str = Field(alias="blobId", pattern=r"^[0-9a-f]{40}$")
    lfs: _Lfs | None = None


class _Info(BaseModel):
    sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    siblings: list[_Sibling]
    # A dict, but null without a model card.
    card: dict[str, Any] | None = Field(alias="cardData", default=None)


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository; ``sha256`` of large files, ``git_sha1`` of others."""

    path: str
    size: int
    sha256: str | None
    git_sha1: str


@dataclass(frozen=True, slots=True)
class HubRevision:
    """The files of a commit. ``license`` is the one in the model card."""

    repository: str
    commit: str
    license: str | None
    files: Mapping[str, HubFile]


class HubClient:
    """Reads from one hub. Close it, or use it with ``with``.

    Raises ConfigurationError if the endpoint, the token or a proxy of the environment is invalid.
    """

    def __init__(self, endpoint: str = DEFAULT_ENDPOINT, token: str | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._has_token = bool(token)
        headers = {"Accept-Encoding": "identity"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            httpx.URL(self.endpoint)
            self._http = httpx.Client(headers=headers, timeout=_TIMEOUT)
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            raise ConfigurationError(
                "HF_ENDPOINT, HF_TOKEN or a proxy of the environment (HTTPS_PROXY, HTTP_PROXY, "
                f"ALL_PROXY) cannot be used: {first_line(error)}"
            ) from error

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Use ``HF_ENDPOINT`` and ``HF_TOKEN``."""
        return cls(environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT, environment.get("HF_TOKEN"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def revision(self, repository: str, revision: str) -> HubRevision:
        """Return the files of a branch, tag or commit.

        Raises ConfigurationError for a repository or revision that does not exist or is not
        accessible, and ModelUnavailableError if the hub cannot be reached.
        """
        path = f"/api/models/{quote(repository)}/revision/{quote(revision, safe='')}"
        try:
            with self._get(f"{self.endpoint}{path}?blobs=true") as responses:
                self._check(responses[-1], repository, revision)
                content = self._read_info(responses[-1], repository)
        except httpx.HTTPError as error:
            raise self.unreachable(error) from error
        try:
            info = _Info.model_validate_json(content)
        except ValidationError as error:
            raise self._no_hub(repository, first_line(error)) from error
        files = {
            each.rfilename: HubFile(
                each.rfilename,
                each.lfs.size if each.lfs else each.size,
                each.lfs.sha256 if each.lfs else None,
                each.blob_id,
            )
            for each in info.siblings
        }
        license_ = (info.card or {}).get("license")
        return HubRevision(
            repository, info.sha, license_ if isinstance(license_, str) else None, files
        )

    @contextmanager
    def open(self, revision: HubRevision, file: HubFile, start: int) -> Iterator[httpx.Response]:
        """Yield the response with the content of a file from byte ``start`` on.

        Its status is 200 if it is the whole file, and 206 if it begins at ``start``. Raises as
        `revision` does, and httpx.HTTPError for a connection that breaks.
        """
        url = (
            f"{self.endpoint}/{quote(revision.repository)}/resolve/{revision.commit}/"
            f"{quote(file.path)}"
        )
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._get(url, headers) as responses:
            self._check(responses[-1], revision.repository, revision.commit)
            self._check_announced(responses, file)
            yield responses[-1]

    @contextmanager
    def _get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[list[httpx.Response]]:
        """Yield the responses of all redirects, and the last one; read no content.

        httpx would read that of redirects, of any size.
        """
        responses: list[httpx.Response] = []
        with ExitStack() as stack:
            request: httpx.Request | None = self._http.build_request("GET", url, headers=headers)
            while request is not None:
                if len(responses) > _MAX_REDIRECTS:
                    raise httpx.TooManyRedirects("too many redirects", request=request)
                response = self._http.send(request, stream=True)
                responses.append(stack.enter_context(closing(response)))
                # Without the token, if it leads to another host.
                request = response.next_request
            yield responses

    def unreachable(self, error: httpx.HTTPError) -> ModelUnavailableError:
        """Return the error for a hub that cannot be reached, with the offline alternative."""
        return ModelUnavailableError(
            f"The hub {self.endpoint} cannot be reached ({first_line(error)}). A proxy is taken "
            "from HTTPS_PROXY, a mirror from HF_ENDPOINT. Without a network, run the command on "
            "another machine and copy the folder of the model, from `models` in its data folder "
            "into `models` in that of this machine (`sightline config` prints it), or to any place "
            f"that you name with {LOCAL_DIR}PATH."
        )

    def _read_info(self, response: httpx.Response, repository: str) -> bytes:
        content = bytearray()
        for data in response.iter_bytes():
            content += data
            if len(content) > _MAX_INFO_BYTES:
                raise self._no_hub(repository, f"more than {_MAX_INFO_BYTES >> 20} MiB")
        return bytes(content)

    def _no_hub(self, repository: str, reason: str) -> ModelUnavailableError:
        return ModelUnavailableError(
            f"{self.endpoint} answered for {repository!r}, but not as a model hub does "
            f"({reason}). Check HF_ENDPOINT and the proxy."
        )

    def _check(self, response: httpx.Response, repository: str, revision: str) -> None:
        if response.is_success:
            encoding = response.headers.get("Content-Encoding", "")
            if encoding not in _ENCODINGS:
                raise self._no_hub(repository, f"compressed as {shown(encoding)}")
            return
        # The hub tells in a header what its status code does not.
        code = response.headers.get("X-Error-Code", "")
        page = f"{self.endpoint}/{repository}"
        if code == "GatedRepo" or (response.status_code == httpx.codes.FORBIDDEN):
            raise ConfigurationError(
                f"{repository!r} is gated. Accept its license on {page}, create an access token "
                f"and set HF_TOKEN{' (the one that is set has no access)' * self._has_token}."
            )
        if code == "RevisionNotFound":
            raise ConfigurationError(f"{repository!r} has no revision {shown(revision)}.")
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND):
            raise ConfigurationError(
                f"{repository!r} does not exist on {self.endpoint}, or is private: then set "
                f"HF_TOKEN{' to a token with access' * self._has_token}."
            )
        raise ModelUnavailableError(
            f"{self.endpoint} answered {response.status_code} {response.reason_phrase}. Run the "
            "command again later; it continues where it stopped."
        )

    def _check_announced(self, responses: Sequence[httpx.Response], file: HubFile) -> None:
        """Compare the announced hash, so that a changed file is found before it is read."""
        for each in responses:
            tag = each.headers.get("X-Linked-ETag") or each.headers.get("ETag") or ""
            announced = tag.removeprefix("W/").strip('"')
            # Other hashes are those of a storage behind the hub.
            if _HASH.fullmatch(announced) and "X-Linked-ETag" in each.headers:
                if announced not in (file.sha256, file.git_sha1):
                    raise changed_file(file.path)
                return


def changed_file(path: str) -> ConfigurationError:
    """Return the error for a file that is not the one in the list of the revision."""
    return ConfigurationError(
        f"{path!r} does not have the hash that the hub lists for it: it was damaged on the way, "
        "or a proxy or mirror has another file. Nothing was installed. Run the command again; if "
        "that does not help, use another network or unset HF_ENDPOINT."
    )
