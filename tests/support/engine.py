"""A door with TLS in front of this machine's Docker engine, as one for the cluster has it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOCKET = "/var/run/docker.sock"
_DAYS = "2"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path) -> None:
    """ca.pem and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    subject = ["-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE"]
    _openssl(
        folder,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        _DAYS,
        *subject,
        "-keyout",
        "ca-key.pem",
        "-out",
        "ca.pem",
    )


def make_certificate(authority: Path, folder: Path, name: str, address: str = "") -> None:
    """ca.pem, cert.pem and key.pem in a folder, as DOCKER_CERT_PATH has them; with an address, for a server."""
    folder.mkdir(parents=True, exist_ok=True)
    extension = f"subjectAltName=IP:{address},IP:127.0.0.1" if address else "extendedKeyUsage=clientAuth"
    (folder / "extension").write_text(extension)
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", "key.pem", "-out", "csr"
    )
    signed_by = ["-CA", str(authority / "ca.pem"), "-CAkey", str(authority / "ca-key.pem"), "-CAcreateserial"]
    _openssl(
        folder, "x509", "-req", "-in", "csr", "-days", _DAYS, *signed_by, "-extfile", "extension", "-out", "cert.pem"
    )
    (folder / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())


@dataclass
class EngineFront:
    """Listens on an address while it is entered; may be stopped and started again on the same port."""

    folder: Path
    address: str = "127.0.0.1"
    port: int = 0
    _open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        authority, server = self.folder / "authority", self.folder / "server"
        make_authority(authority)
        make_certificate(authority, server, "engine", self.address)
        make_certificate(authority, self.client, "builder")
        self._trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority / "ca.pem"))
        self._trust.load_cert_chain(server / "cert.pem", server / "key.pem")
        self._trust.verify_mode = ssl.CERT_REQUIRED

    @property
    def client(self) -> Path:
        """What a builder needs: ca.pem, cert.pem, key.pem."""
        return self.folder / "client"

    @property
    def url(self) -> str:
        return f"tcp://{self.address}:{self.port}"

    def stranger(self) -> Path:
        """What a builder has whom the engine does not know: a certificate of another authority."""
        make_authority(self.folder / "other")
        make_certificate(self.folder / "other", self.folder / "stranger", "stranger")
        (self.folder / "stranger" / "ca.pem").write_bytes((self.client / "ca.pem").read_bytes())
        return self.folder / "stranger"

    def __enter__(self) -> EngineFront:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._socket = socket.create_server((self.address, self.port))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections and cut those there are."""
        _cut(self._socket)
        self._socket.close()
        for each in list(self._open):
            _cut(each)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Bytes in both directions. A handshake that fails tells the other side why, as an engine does."""
        with contextlib.suppress(OSError), connection, socket.socket(socket.AF_UNIX) as engine:
            connection.settimeout(10)
            with self._trust.wrap_socket(connection, server_side=True) as client:
                client.settimeout(None)
                engine.connect(SOCKET)
                self._open |= {client, engine}
                back = threading.Thread(target=_copy, args=(engine, client), daemon=True)
                back.start()
                _copy(client, engine)
                back.join()
                self._open -= {client, engine}


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _cut(source)
    _cut(target)


def _cut(each: socket.socket) -> None:
    """Wakes whoever reads, accepts or writes."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
