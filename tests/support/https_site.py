"""A local HTTPS server with its own certificate authority, valid or faulty."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Site:
    """``port`` on 127.0.0.1; ``asked`` are the requested paths and Host headers."""

    port: int
    authority: Path
    asked: list[tuple[str, str]] = field(default_factory=list)

    def context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the server."""
        return ssl.create_default_context(cafile=str(self.authority))


@asynccontextmanager
async def site(
    folder: Path, pages: dict[str, bytes], names: tuple[str, ...] = ("pictures.test", "localhost")
) -> AsyncIterator[Site]:
    """Serve ``pages``: path to complete response.

    A response that ends in ``<drip>`` continues forever byte by byte, ``<flood>`` in large blocks.
    """
    key, certificate = write_certificate(folder, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    served = Site(0, certificate)
    writers: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            host = head.lower().partition("\r\nhost: ")[2].partition("\r\n")[0]
            served.asked.append((path, host))
            said = pages.get(path.partition("?")[0], b"HTTP/1.1 404 Not Found\r\n\r\n")
            whole, mark = said, b""
            for mark in (b"<drip>", b"<flood>"):
                if said.endswith(mark):
                    whole = said.removesuffix(mark)
                    break
            writer.write(whole)
            await writer.drain()
            while whole != said:
                writer.write(b"x" * (1 if mark == b"<drip>" else 1 << 16))
                await writer.drain()
                # Also for a flood: drain alone does not yield while the socket accepts data, so a
                # disconnect would not be noticed.
                await asyncio.sleep(0.05 if mark == b"<drip>" else 0)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client disconnected
        finally:
            writers.discard(writer)
            with suppress(OSError):
                writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


def page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a complete response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def moved(to: str) -> bytes:
    """Return a redirect."""
    return page(b"", f"Location: {to}", status="302 Found")


def write_certificate(folder: Path, names: tuple[str, ...]) -> tuple[Path, Path]:
    """Create a key and a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key_file, certificate_file
