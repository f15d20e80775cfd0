"""Whether the hub can be reached, found out within a second.

Without a network, libraries wait minutes before they give up. So the hub's host, or the proxy in front of it, is
connected to once, and the answer is kept for a while.
"""

import os
import socket
from threading import Thread
from time import monotonic
from urllib.parse import urlsplit

from huggingface_hub import constants

SECONDS_TO_ANSWER = 0.9
SECONDS_KEPT = {True: 300.0, False: 20.0}
"""How long an answer is kept, by whether the hub could be reached."""
REMEDY = "check the network, or set HF_HUB_OFFLINE=1 to use cached checkpoints only"
REMEDY_OF_ONE = "check the network, or take a model that is cached: `interp-emerge doctor FAMILY` lists them"
_ANSWERS: dict[tuple[str, int], tuple[float, str]] = {}


def why_offline() -> str:
    """Why nothing can be downloaded, as the end of a sentence; empty if the hub answers. Takes under a second."""
    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set; unset it to download"
    reason = why_unreachable()
    return f"{reason}; {REMEDY}" if reason else ""


def why_unreachable() -> str:
    """Why the hub cannot be reached, whatever `HF_HUB_OFFLINE` says, as a clause; empty if it can be."""
    place = _place()
    if place in _ANSWERS:
        asked, answer = _ANSWERS[place]
        if monotonic() - asked < SECONDS_KEPT[not answer]:
            return answer
    answer = _try(*place)
    _ANSWERS[place] = monotonic(), answer
    return answer


def forget() -> None:
    """Ask again next time."""
    _ANSWERS.clear()


def _place() -> tuple[str, int]:
    """Host and port to connect to: those of the proxy if there is one."""
    hub = urlsplit(constants.ENDPOINT)
    proxy = ""
    if hub.hostname not in _without_proxy():
        names = (f"{hub.scheme}_proxy", "all_proxy")
        proxy = next((value for name in names for key in (name, name.upper()) if (value := os.environ.get(key))), "")
    if proxy:
        hub = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return hub.hostname or "", hub.port or (443 if hub.scheme == "https" else 80)


def _without_proxy() -> list[str]:
    return (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").replace(" ", "").split(",")


def _try(host: str, port: int) -> str:
    reason = [f"{host} does not answer"]

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout=SECONDS_TO_ANSWER):
                reason[0] = ""
        except OSError as error:
            reason[0] = f"{host} cannot be reached ({error.strerror or error})"

    # In a thread of its own: resolving a name takes no timeout.
    asking = Thread(target=connect, daemon=True)
    asking.start()
    asking.join(SECONDS_TO_ANSWER)
    return reason[0]
