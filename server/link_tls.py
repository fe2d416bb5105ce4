"""TLS on the links between nodes: one self-signed certificate a cluster, made at the first start, trusted by itself only.

The HMAC handshake says who may talk; TLS keeps what is said from those who can read the wire between the nodes.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.deployment import write_private

FILE: Final = "link-tls.pem"
LIFE: Final = timedelta(days=3650)
"""It is trusted by nobody else, and made anew by deleting the file."""


def ensure(data_dir: Path) -> Path:
    """The file with key and certificate, made where it is missing."""
    path = data_dir / FILE
    if path.exists():
        return path
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sangha links")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, (secret + certificate.public_bytes(pem)).decode())
    return path


def contexts(data_dir: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's context."""
    path = str(data_dir / FILE)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # one certificate for all nodes; it is pinned instead
    client.load_verify_locations(path)
    return server, client
