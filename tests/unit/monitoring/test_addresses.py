"""Which addresses webhooks may be at."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from penstock.model.addresses import refusal


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "fe80::1",
        "fd00:ec2::254",
        "0.0.0.0",
        "0.1.2.3",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "::",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_never(address: str) -> None:
    for allow in (False, True):
        assert "never called" in refusal(ip_address(address), allow_private=allow)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd12::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.1.1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "192.0.2.1",
        "240.0.0.1",
        "fec0::1",
    ],
)
def test_only_when_private_ones_are_allowed(address: str) -> None:
    assert "allow_private" in refusal(ip_address(address), allow_private=False)
    assert refusal(ip_address(address), allow_private=True) == ""


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101"])
def test_the_internet(address: str) -> None:
    assert refusal(ip_address(address), allow_private=False) == ""
