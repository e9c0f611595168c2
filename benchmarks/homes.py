"""Where contenders keep their tokens: databases made once and fresh for each round."""

import importlib
import os
import shutil
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from benchmarks.fleet import APP, SECRET, Job
from benchmarks.processes import run

_CONFIG: Final = """\
database: {database}
keys: [{{id: k1, secret_file: monitor.key}}]
graph: {{base_url: "{url}", workers: {workers}}}
apps: [{{id: "{app}", name: Bench, secret: {secret}}}]
policies: [{{name: default, required_scopes: [ads_read]}}]
mail: {{host: 127.0.0.1, port: 9, tls: none, from: bench@bench.example}}
operator: {{email: [ops@bench.example]}}
"""


@dataclass
class Home:
    """A contender with a database in a folder; this one is the product on SQLite."""

    name: str
    job: Job
    module: str = "benchmarks.product"
    file: str = "monitor.db"

    def make(self) -> None:
        """Fill the database, once."""
        self.job.home.mkdir(parents=True)
        self._configure()
        run(self.module, replace(self.job, kind="make"))
        self._keep()

    def fresh(self) -> None:
        """Have the database as it was when nobody had looked at a token."""
        for tail in ("-wal", "-shm"):
            Path(f"{self._path}{tail}").unlink(missing_ok=True)
        shutil.copyfile(f"{self._path}.fresh", self._path)

    def drop(self) -> None:
        """Leave nothing behind outside the folder."""

    @property
    def _path(self) -> Path:
        return self.job.home / self.file

    def _keep(self) -> None:
        self._path.rename(f"{self._path}.fresh")

    def _configure(self) -> None:
        key = urlsafe_b64encode(os.urandom(32)).decode()
        self.job.home.joinpath("monitor.key").write_text(key)
        self._write_config(f"sqlite:///{self.file}")

    def _write_config(self, database: str) -> None:
        text = _CONFIG.format(
            database=database,
            url=self.job.url,
            workers=self.job.workers,
            app=APP,
            secret=SECRET,
        )
        self.job.home.joinpath("monitor.yaml").write_text(text)


@dataclass
class LightHome(Home):
    """The yardstick, which needs no configuration."""

    module: str = "benchmarks.light"
    file: str = "light.db"

    def _configure(self) -> None:
        """Nothing: it is by hand."""


@dataclass
class PostgresHome(Home):
    """The product on PostgreSQL, in databases of its own beside the one given."""

    server: str = ""
    """The URL of a database whose user may make others."""
    _made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = f"token_bench_{os.getpid()}"
        self._work, self._kept = name, f"{name}_fresh"
        self.job = replace(self.job, database=self._url(self._work))

    def fresh(self) -> None:
        with self._connect(self.server) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {self._work}")
            admin.execute(f"CREATE DATABASE {self._work} TEMPLATE {self._kept}")

    def drop(self) -> None:
        with self._connect(self.server) as admin:
            for name in (self._work, self._kept):
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _configure(self) -> None:
        super()._configure()
        with self._connect(self.server) as admin:
            admin.execute(f"CREATE DATABASE {self._kept}")
        self._write_config(self._url(self._kept))

    def _keep(self) -> None:
        with self._connect(self._url(self._kept)) as admin:
            admin.execute("VACUUM ANALYZE")
        self._write_config(self._url(self._work))

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.server)._replace(path=f"/{name}"))

    def _connect(self, url: str) -> Any:  # noqa: ANN401 - psycopg may be absent
        psycopg = importlib.import_module("psycopg")
        return psycopg.connect(url, autocommit=True)
