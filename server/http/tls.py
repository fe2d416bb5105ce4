"""HTTPS: a certificate's files made into contexts for servers and for our own commands.

``serve`` reads the files that the settings name, tries them, and keeps what is good as one private file in its run directory;
gateways read only that one. So all of them have the same certificate, one that starts anew has it too, and files that are
broken while somebody replaces them harm nobody.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

from server.deployment import write_private

FILE: Final = "front-tls.pem"
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class UnusableCertificate(Exception):
    """The files cannot be served with; one clear line."""


def keep(certificate: Path, key: Path | None, run_dir: Path) -> Path:
    """Try the files and keep them as one for the gateways. Raises UnusableCertificate; then what was kept before stays."""
    texts = [_read(certificate)] + ([_read(key)] if key is not None else [])
    trial = run_dir / f"{FILE}.new"
    write_private(trial, "\n".join(texts))
    try:
        server_context(trial)
    except (ssl.SSLError, ValueError) as failure:
        trial.unlink()
        names = " and ".join(str(path) for path in (certificate, key) if path is not None)
        raise UnusableCertificate(f"{names} are no certificate with its key: {_reason(failure)}") from failure
    return trial.replace(run_dir / FILE)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as failure:
        raise UnusableCertificate(f"{path} cannot be read: {failure.strerror}") from failure


def _reason(failure: Exception) -> str:
    """OpenSSL's words without the place in its source."""
    return re.sub(r"\s*\(_ssl\.c:\d+\)|\[[^\]]*\]\s*", "", str(failure)).replace("_", " ").lower()


def server_context(path: Path) -> ssl.SSLContext:
    """TLS 1.2 and later for the file with certificate and key. Raises SSLError, OSError, ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(path, password=_no_password)
    return context


def _no_password() -> str:
    raise ValueError("the key has a password; keep it without one, readable by the server alone")


def client_context(certificate: Path) -> ssl.SSLContext:
    """For commands on the server's own machine: they trust its very certificate, whoever signed it and whatever its name.

    Raises OSError, SSLError.
    """
    found = _CERTIFICATE.search(certificate.read_text(encoding="ascii", errors="replace"))
    if found is None:
        raise ssl.SSLError(f"{certificate} has no certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is asked as 127.0.0.1 and named as the world knows it; it is pinned instead
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=found[0])
    return context
