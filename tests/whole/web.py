"""The web of a real daemon, as a visitor sees it."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError

from tests.whole.tools import Place, Process, until


class Web:
    """The pages of a daemon."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; (0, …) if nobody answers."""
        url = f"http://127.0.0.1:{self.port}/{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    @property
    def ready(self) -> bool:
        return self.get("readyz")[0] == 200

    @property
    def alive(self) -> bool:
        return self.get("healthz") == (200, "alive\n")

    def metric(self, name: str) -> str | None:
        """The value of a sample, labels included, as it is printed."""
        lines = self.get("metrics")[1].splitlines()
        found = [line.split()[-1] for line in lines if line.startswith(f"{name} ")]
        return found[0] if found else None


def listen(place: Place, port: int = 0) -> None:
    text = place.config.read_text(encoding="utf-8").partition("web:")[0]
    place.configure(f'{text}web: {{listen: "127.0.0.1:{port}"}}\n')


@contextmanager
def shown(place: Place, *options: str) -> Iterator[tuple[Process, Web]]:
    """A daemon that is ready, with its web."""
    with place.daemon(*options) as process:
        until(lambda: place.events("web.listening"), "the web")
        web = Web(place.events("web.listening")[-1]["port"])
        until(lambda: web.ready, "ready")
        yield process, web
