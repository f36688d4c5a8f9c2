"""Where a world's AWS is reached over HTTP, by other processes and by clients that are not botocore's."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_quarry.bus.calls import DUMMY_ENVIRONMENT

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers there
OPEN_PORTS: set[int] = set()  # of all endpoints that this process knows of


@dataclass(frozen=True)
class Endpoint:
    """An address on this machine, for as long as its world is open.

    Give it to a client as `endpoint_url`, or give a program `environment()`.
    """

    url: str

    def environment(self) -> dict[str, str]:
        """What another program needs in order to reach this AWS and no other: variables for all SDKs.

        Its other traffic over HTTP goes nowhere: proxies are set to a port at which nobody answers.
        """
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return {
            **DUMMY_ENVIRONMENT,
            "AWS_ENDPOINT_URL": self.url,
            **proxies,
            **direct,
        }

    def queue_url(self, url: str) -> str:
        """The URL that a queue has here: SDKs of other languages send their requests to the URL of the queue."""
        return self.url + urlsplit(url).path
