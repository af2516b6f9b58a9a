"""The members of an e-mail: its text, and its attachments."""

from __future__ import annotations

import email
import email.policy
import html
import mimetypes
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart
from typing import IO

from sightline.storage.errors import MediaError
from sightline.storage.ingest.archives.archive_members import ArchiveMember, check_count
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.plain_text.text_encoding import codec_of, decode_text

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_MAX_HEADER_BYTES = 1 << 20
_MAX_HEADER_CHARS = 2_000
_MAX_NAME_CHARS = 150
_MAX_DEPTH = 5  # of messages in messages
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n|\r\r")
_BODY_MARK = "\ufeff"  # the text is stored as UTF-8, whatever its page declares


def mail_members(file: IO[bytes], options: IngestOptions) -> list[ArchiveMember]:
    """Return ``message.html`` or ``message.txt``, and the attachments.

    Raises MediaError for what is not an e-mail; the library raises anything on hostile ones.
    """
    data = file.read(options.max_file_bytes + 1)
    if len(data) > options.max_file_bytes:
        raise MediaError("too_large", f"has more than {options.max_file_bytes:,} bytes")
    end = _END_OF_HEADERS.search(data, 0, _MAX_HEADER_BYTES)
    if end is None:
        raise MediaError("broken", "has no end of its headers")
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not any(message.get(name) for name in _HEADERS):
        raise MediaError("broken", "is not an e-mail: it has no subject, sender and date")
    members: dict[str, bytes] = {}
    repeats: Counter[tuple[str, str]] = Counter()
    for name, content in _contents(message, "", 0):
        check_count(len(members) + 1, options)
        unused, parts = name, posixpath.splitext(name)
        while unused in members:
            repeats[parts] += 1  # never starts again: a message may repeat a name very often
            unused = f"{parts[0]} ({repeats[parts] + 1}){parts[1]}"
        members[unused] = content
    return [
        ArchiveMember(name, lambda count, content=content: content[:count])  # type: ignore[misc]
        for name, content in members.items()
    ]


def _contents(message: EmailMessage, folder: str, depth: int) -> Iterator[tuple[str, bytes]]:
    body = message.get_body(("html", "plain"))
    lines = [f"{name}: {_header(message, name)}" for name in _HEADERS if message.get(name)]
    if body is not None and body.get_content_subtype() == "html":
        head = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        yield f"{folder}message.html", (_BODY_MARK + head + _text(body)).encode()
    else:
        text = _text(body) if body is not None else ""
        yield f"{folder}message.txt", (_BODY_MARK + "\n".join([*lines, "", text])).encode()
    number = 0
    for part, is_alternative in _parts(message):
        # The plain text of a page that is read says nothing new.
        if part is body or (is_alternative and not part.get_filename()):
            continue
        number += 1
        if part.get_content_type() == "message/rfc822" and depth < _MAX_DEPTH:
            for inner in part.iter_parts():
                if isinstance(inner, EmailMessage):
                    yield from _contents(inner, f"{folder}message-{number}/", depth + 1)
            continue
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and content:
            yield folder + _name(part, number), content


def _parts(message: EmailMessage) -> Iterator[tuple[EmailMessage, bool]]:
    """Yield the parts that are no containers, and whether they repeat a page.

    Parts of messages inside are left out. Reads the type of each part only once: it is slow.
    """
    waiting: list[tuple[MIMEPart, bool]] = [(message, False)]
    while waiting:
        part, is_alternative = waiting.pop()
        kind = part.get_content_type()
        if part.is_multipart() and kind != "message/rfc822":
            inner = [(each, kind == "multipart/alternative") for each in part.iter_parts()]
            waiting += reversed(inner)
        elif part is not message and isinstance(part, EmailMessage):
            yield part, is_alternative and kind == "text/plain"


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())[:_MAX_HEADER_CHARS]


def _text(part: MIMEPart) -> str:
    content = part.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    codec = codec_of(part.get_content_charset("") or "")
    if codec is not None:
        try:
            return data.decode(codec)
        except UnicodeDecodeError:
            pass
    try:
        return decode_text(data).text
    except MediaError:  # a broken text must not hide the attachments
        return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _name(part: EmailMessage, number: int) -> str:
    """Return a safe name for an attachment."""
    suffix = mimetypes.guess_extension(part.get_content_type()) or ".bin"
    name = posixpath.basename((part.get_filename() or "").replace("\\", "/").replace("\0", ""))
    name = name.strip().lstrip(".")
    if not name:
        return f"attachment-{number}{suffix}"
    stem, own_suffix = posixpath.splitext(name)
    return stem[:_MAX_NAME_CHARS] + (own_suffix or suffix)[:20]
