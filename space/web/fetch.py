"""Fetch an image from the public web, and from nowhere else.

A host is looked up once, all of its addresses must be public, and the connection goes to the very address that was
checked. So neither a redirect nor a name that changes its address leads into the server's own network.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from space.errors import ErrorCode, XrayError, too_large
from space.web.uploads import new_file

PORTS = {"http": 80, "https": 443}
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
MOST_REDIRECTS = 3
SECONDS = 10.0  # for everything together
CHUNK = 2**16
REDIRECTS = (301, 302, 303, 307, 308)


def fetch_to_file(url: str, max_bytes: int) -> Path:
    """Like `fetch`, into a file beside visitors' uploads; returns its path."""
    content = fetch(url, max_bytes)
    path = new_file("fetched")
    path.write_bytes(content)
    return path


def fetch(url: str, max_bytes: int) -> bytes:
    """Fetch a file over http or https from a public address.

    Args:
        url: Where it is.
        max_bytes: Largest file.

    Returns:
        Its content.

    Raises:
        XrayError: `bad_url`, if the address is not allowed; `too_many_bytes`; or `fetch`, if it does not answer with a
            file in time.
    """
    deadline = time.monotonic() + SECONDS
    for _ in range(MOST_REDIRECTS + 1):
        try:
            answer = _get(url, max_bytes, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise XrayError(ErrorCode.FETCH, f"The image could not be downloaded ({type(error).__name__}).") from None
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise XrayError(ErrorCode.FETCH, f"The address redirects more than {MOST_REDIRECTS} times.")


def _get(url: str, max_bytes: int, deadline: float) -> bytes | str:
    """The file, or the address that this one redirects to."""
    connection, target, host = _connect(url, deadline)
    # Whoever sends a byte now and then never runs into a timeout of a single read.
    alarm = threading.Timer(_left(deadline), connection.sock.shutdown, (socket.SHUT_RDWR,))
    alarm.start()
    try:
        connection.request("GET", target, headers={"Host": host, "Accept": "*/*", "User-Agent": "chest-xray"})
        response = connection.getresponse()
        if response.status in REDIRECTS and (location := response.getheader("Location")):
            return location
        if response.status != 200:
            raise XrayError(ErrorCode.FETCH, f"The address returned status {response.status} instead of an image.")
        content = bytearray()
        while chunk := response.read1(CHUNK):
            content += chunk
            if len(content) > max_bytes:
                raise too_large(max_bytes)
        _left(deadline)  # raises if the alarm cut the file off
        return bytes(content)
    finally:
        alarm.cancel()
        connection.close()


def _connect(url: str, deadline: float) -> tuple[http.client.HTTPConnection, str, str]:
    """A connection to a checked address, the path to request, and the host's name."""
    parts = urlsplit(url.strip())
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not host or parts.username is not None:
        raise XrayError(ErrorCode.BAD_URL, "The address must begin with http:// or https://.")
    port = parts.port or PORTS[parts.scheme]
    if port != PORTS[parts.scheme]:
        raise XrayError(ErrorCode.BAD_URL, f"Port {port} is not allowed. Use port 80 for http, or 443 for https.")
    address = _public_address(host, port)
    sock = socket.create_connection((address, port), timeout=_left(deadline))
    if parts.scheme == "https":
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = sock
    target = parts.path or "/"
    return connection, f"{target}?{parts.query}" if parts.query else target, host


def _public_address(host: str, port: int) -> str:
    """An address of a host, all of whose addresses are public."""
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise XrayError(ErrorCode.BAD_URL, f"The host {host!r} was not found.") from None
    for address in addresses:
        ip = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None) or ip
        # Of IPv6, all but global unicast (2000::/3) is a way to write other addresses, such as 64:ff9b::127.0.0.1.
        is_odd = ip.version == 6 and ip not in GLOBAL_UNICAST
        if is_odd or not (ip.is_global and inner.is_global) or ip.is_multicast or inner.is_multicast:
            raise XrayError(ErrorCode.BAD_URL, f"{host} is not a public address; only the public web is allowed.")
    return sorted(addresses)[0]


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
