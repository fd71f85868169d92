"""Owns talking to systemd: readiness, status, watchdog (protocol: sd_notify(3)).

Without `$NOTIFY_SOCKET` every call is a no-op that says so by returning False.
"""

import os
import socket
import time


def notify(message: str) -> bool:
    """Send one sd_notify message; False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(1.0)
            sock.connect(address)
            sock.sendall(message.encode())
    except OSError:
        return False
    return True


def ready(status: str) -> bool:
    """Tell systemd that start-up is over."""
    return notify(f"READY=1\nSTATUS={status}")


def reloading() -> bool:
    """Tell systemd that configuration is being read again."""
    return notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping(status: str) -> bool:
    """Tell systemd that the daemon is going down on purpose."""
    return notify(f"STOPPING=1\nSTATUS={status}")


def feed_watchdog(status: str) -> bool:
    """Prove to systemd that the daemon lives."""
    return notify(f"WATCHDOG=1\nSTATUS={status}")
