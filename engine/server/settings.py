"""Settings of the service: arguments, then environment (``ACDC_SERVE_...``), then a TOML file, then defaults."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ..options import EngineOptions, StoryOptions, as_loras
from ..options.paths import paths_of, with_values
from ..scheduler.policy import SchedulerConfig

PREFIX = "ACDC_SERVE_"
# First parts of paths; all others are parts of a story's options.
ROOTS: dict[str, type] = {"engine": EngineOptions, "scheduler": SchedulerConfig}


class Settings(BaseSettings):
    """Settings of one server and its workers. ``options`` are those of the other commands, by path
    (``{"correction.strength": 0.4}``)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", validate_default=True, frozen=True)

    host: str = Field("127.0.0.1", description="Listen on this address.")
    port: int = Field(8000, ge=0, le=65535, description="Listen on this port; 0 takes a free one.")
    data: Path = Field(Path("out/serve"), description="Keep stories, and the store of jobs, in this directory.")
    database: SecretStr | None = Field(None, description="Keep jobs in this database instead, by its SQLAlchemy URL.")
    api_keys: tuple[SecretStr, ...] = Field((), description="Accept requests with one of these keys only.")
    secret: SecretStr | None = Field(None, description="Sign tokens and cookies with this text.")
    served_model_name: str | None = Field(None, description="Call the model by this name instead of the bundle's.")
    allowed_hosts: tuple[str, ...] = Field((), description="Accept these names in the Host header as well.")
    allowed_origins: tuple[str, ...] = Field((), description="Let pages of these origins use the API (CORS).")
    root_path: str = Field("", description="Expect this prefix, which a proxy removes from paths.")
    ssl_certfile: Path | None = Field(None, description="Serve HTTPS with this certificate.")
    ssl_keyfile: Path | None = Field(None, description="The certificate's key.")
    access_log: bool = Field(True, description="Log a line for each request.")
    log_level: Literal["error", "warning", "info", "debug"] = Field("info", description="Log from this level on.")
    max_queue: int = Field(256, ge=1, description="Refuse requests while this number waits.")
    max_sentences: int = Field(64, ge=1, description="Refuse stories of more sentences.")
    max_body_mb: int = Field(64, ge=1, description="Refuse requests of more MiB.")
    max_pixels: int = Field(1 << 24, ge=1, description="Refuse pictures of more pixels.")
    max_attempts: int = Field(3, ge=1, description="Give a story up that has ended this number of engines.")
    workers: int = Field(1, ge=0, description="Run this number of worker processes here.")
    ray: str | None = Field(None, description="Start the worker processes on the Ray cluster at this address.")
    gpus_per_worker: float | None = Field(None, ge=0, description="Reserve this number of the cluster's GPUs for each.")
    warm_up: bool = Field(True, description="Draw a frame before /health says that the model is there.")
    lease: float = Field(30, gt=0, description="Take a story from a worker that was silent for this number of seconds.")
    hang_timeout: float = Field(
        900, gt=0, description="End an engine that has finished nothing for this number of seconds."
    )
    options: dict[str, Any] = Field({}, description="Options of the engine, of stories and of the scheduler, by path.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """In the order in which they count."""
        toml = TomlConfigSettingsSource(settings_cls, settings_cls.model_config.get("toml_file"))
        return init_settings, env_settings, file_secret_settings, toml

    @field_validator("api_keys")
    @classmethod
    def _keys_hold_something(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_is_header_text(key.get_secret_value()) for key in keys):
            raise ValueError("a key is empty, or has characters that no header carries; choose printable ASCII")
        return keys

    @field_validator("options")
    @classmethod
    def _paths_are_known(cls, options: dict[str, Any]) -> dict[str, Any]:
        story = StoryOptions()
        groups = ROOTS | {field.name: type(getattr(story, field.name)) for field in fields(story)}
        known = paths_of(groups, many=True)
        for path in options:
            if path not in known:
                raise ValueError(f"unknown path {path!r}; choose among {', '.join(known)}")
        return options

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if not self.api_keys and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} can be reached from outside; give a key ({PREFIX}API_KEYS, --api-key)"
            )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile go together; give both")
        if self.hang_timeout <= self.lease:  # what an engine has finished is known at beats, three a lease
            raise ValueError(f"hang_timeout {self.hang_timeout:g} is too short; choose more than lease, {self.lease:g}")
        if self.gpus_per_worker is not None and self.ray is None:
            raise ValueError(f"gpus_per_worker {self.gpus_per_worker:g} is for workers on a Ray cluster; give ray")
        _ = self.engine_options, self.story_options, self.scheduler
        return self

    @property
    def engine_options(self) -> EngineOptions:
        """Which models, and where they compute."""
        values = _below(self.options, "engine")
        return with_values(EngineOptions(), {**values, "loras": as_loras(values.get("loras", ()))})

    @property
    def story_options(self) -> StoryOptions:
        """Options of stories that name none of their own."""
        values = {path: value for path, value in self.options.items() if path.partition(".")[0] not in ROOTS}
        return with_values(StoryOptions(), values)

    @property
    def scheduler(self) -> Mapping[str, Any]:
        """Fields of ``SchedulerConfig`` that are set; the others are the device's."""
        values = _below(self.options, "scheduler")
        with_values(SchedulerConfig(), values)
        return values

    @property
    def model(self) -> str:
        """The name of the model that is served."""
        bundle = str(self.engine_options.bundle)
        return self.served_model_name or bundle.rstrip("/").rpartition("/")[2]

    @property
    def stories(self) -> Path:
        """The folder of all stories' folders."""
        return self.data / "stories"

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the store."""
        return self.database.get_secret_value() if self.database else f"sqlite:///{self.data.absolute()}/store.sqlite"

    def to_json(self) -> str:
        """With secrets: for a worker's standard input."""
        shown = self.model_dump(mode="json")
        shown["database"] = self.database_url if self.database else None
        shown["api_keys"] = [key.get_secret_value() for key in self.api_keys]
        shown["secret"] = self.secret.get_secret_value() if self.secret else None
        return _dumped(shown)

    def masked(self) -> str:
        """For people: secrets are hidden."""
        return _dumped(self.model_dump(mode="json"))


def read_settings(config: str | None = None, **given: Any) -> Settings:
    """The settings from all their sources; ``config`` is a TOML file, ``given`` what the command line sets.

    ``ValueError`` (one line) for an invalid value, an unknown key in the file, an unknown ``ACDC_SERVE_`` variable."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise ValueError(f"environment variable {name} is unknown; choose among {', '.join(sorted(known))}")
    if config is not None and not Path(config).is_file():
        raise ValueError(f"--config {config!r} is not a file; give a TOML file")
    chosen = _with_file(config) if config is not None else Settings
    try:
        return chosen(**given)
    except ValidationError as error:
        raise ValueError("; ".join(map(_said, error.errors(include_url=False, include_input=False)))) from None
    except ValueError as error:  # of TOML, or of JSON within a variable
        raise ValueError(f"the settings cannot be read: {str(error).splitlines()[0]}") from None


def is_loopback(host: str) -> bool:
    """Can ``host`` be reached from this machine alone?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with_file(config: str) -> type[Settings]:
    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    return FromFile


def _said(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _below(options: Mapping[str, Any], root: str) -> dict[str, Any]:
    parts = {path.partition("."): value for path, value in options.items()}
    return {field: value for (name, _, field), value in parts.items() if name == root}


def _is_header_text(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


def _dumped(shown: Mapping[str, Any]) -> str:
    return json.dumps(shown, indent=1)
