"""An image from an address on the web, without becoming a way into the network that the server stands in.

A host is looked up once, all of its addresses must be public, and the connection goes to the very one that was checked;
so neither redirects nor names that change their mind lead inside.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from space.errors import XrayError
from space.web.uploads import new_file

PORTS = {"http": 80, "https": 443}
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
MOST_REDIRECTS = 3
SECONDS = 10.0  # for everything together
CHUNK = 2**16
REDIRECTS = (301, 302, 303, 307, 308)


def fetch_to_file(url: str, max_bytes: int) -> Path:
    """Like `fetch`; returns where the file is, beside visitors' uploads."""
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
        XrayError: `bad_url`, if the address is none that may be asked; `too_many_bytes`; or `fetch`, if it does not
            answer with a file in time.
    """
    deadline = time.monotonic() + SECONDS
    for _ in range(MOST_REDIRECTS + 1):
        try:
            answer = _get(url, max_bytes, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise XrayError("fetch", f"The image cannot be fetched ({type(error).__name__}).") from None
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise XrayError("fetch", f"The address leads on more than {MOST_REDIRECTS} times.")


def _get(url: str, max_bytes: int, deadline: float) -> bytes | str:
    """The file, or the address that this one leads on to."""
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
            raise XrayError("fetch", f"The address answers with {response.status} instead of an image.")
        found = bytearray()
        while chunk := response.read1(CHUNK):
            found += chunk
            if len(found) > max_bytes:
                raise XrayError("too_many_bytes", f"The file has more than {max_bytes / 10**6:.0f} MB.")
        _left(deadline)  # a file that was cut off by the alarm is none
        return bytes(found)
    finally:
        alarm.cancel()
        connection.close()


def _connect(url: str, deadline: float) -> tuple[http.client.HTTPConnection, str, str]:
    """A connection to a checked address, what to ask there, and the host's name."""
    parts = urlsplit(url.strip())
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not host or parts.username is not None:
        raise XrayError("bad_url", "Give an address that begins with http:// or https://.")
    port = parts.port or PORTS[parts.scheme]
    if port != PORTS[parts.scheme]:
        raise XrayError("bad_url", f"Port {port} is not asked; only the usual ones of http and https are.")
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
        found = {entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise XrayError("bad_url", f"There is no host {host!r}.") from None
    for address in found:
        ip = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None) or ip
        # Of IPv6, all but global unicast (2000::/3) is a way to write other addresses, such as 64:ff9b::127.0.0.1.
        is_odd = ip.version == 6 and ip not in GLOBAL_UNICAST
        if is_odd or not (ip.is_global and inner.is_global) or ip.is_multicast or inner.is_multicast:
            raise XrayError("bad_url", f"{host} is no public address; images are fetched from the public web alone.")
    return sorted(found)[0]


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
