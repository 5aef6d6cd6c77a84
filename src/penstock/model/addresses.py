"""Which addresses the server may call on a client's behalf. Pure: owns the rule, resolves nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local, and where clouds keep their metadata
            "fe80::/10",
            "100.100.100.200/32",  # metadata of another cloud, in carrier-grade NAT space
            "fd00:ec2::254/128",  # metadata over IPv6
            "0.0.0.0/8",
            "255.255.255.255/32",
        ),
    )
)


def refusal(address: IPv4Address | IPv6Address, *, allow_private: bool) -> str:
    """Why the address may not be called; empty when it may. Addresses inside addresses (IPv4 in IPv6) are looked at too.
    Link-local, metadata, multicast and unspecified addresses never may, loopback and private ones when `allow_private`."""
    inner = _inner(address)
    if (
        inner.is_multicast
        or inner.is_unspecified
        or any(inner in network for network in _NEVER if network.version == inner.version)
    ):
        return f"{address} is an address that is never called"
    site_local = isinstance(inner, IPv6Address) and inner.is_site_local
    if (site_local or not inner.is_global) and not allow_private:
        return f"{address} is a private address, called only with `allow_private` in [events] of the configuration"
    return ""


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ip_address(int(address) & 0xFFFFFFFF)
    return address
