"""Listening sockets and TLS. Owns how they are made; knows nothing of what is served."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl

from penstock.config import Address, ConfigError, Settings


def bind(address: Address, *, shared: bool = False) -> socket.socket:
    """A bound socket; `shared` lets several processes bind the same port, which the kernel then spreads connections over.
    Raises OSError saying which address and what to do."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        text = f"cannot listen on {address}: {error.strerror}; choose another with --listen"
        raise OSError(error.errno, text) from error
    bound.setblocking(False)
    return bound


def bind_many(address: Address, count: int) -> list[socket.socket]:
    """One socket a process, all on one port."""
    # A port somebody else serves must be refused, which sharing would hide.
    bind(address).close()
    first = bind(address, shared=True)
    port = first.getsockname()[1]
    return [first, *(bind(Address(address.host, port), shared=True) for _ in range(count - 1))]


def bind_manage(settings: Settings, port: int) -> socket.socket:
    """The management listener: where the settings say, else on loopback beside `port`, else anywhere free."""
    if settings.manage is not None:
        return bind(settings.manage)
    try:
        return bind(Address("127.0.0.1", min(port + 1, 65535)))
    except OSError:
        return bind(Address("127.0.0.1", 0))


def address_of(bound: socket.socket) -> str:
    """HOST:PORT of a bound socket."""
    host, port = bound.getsockname()[:2]
    return str(Address(host, port))


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """None without a certificate. Raises ConfigError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The Java client speaks 1.2 at most (clients.md section 6).
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"--tls-cert {settings.tls_cert}, --tls-key {settings.tls_key}: {error}") from error
    return context


def raise_file_limit() -> int:
    """Let this process open as many files as it may: connections are files, and segments. How many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft
