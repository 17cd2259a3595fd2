"""Fixtures of the command line's tests: an own folder, a fake engine for the commands, a tiny real bundle; and of
the tests of many stories: the serial loop's answers, and a look at the threads."""

import threading

import pytest
from PIL import Image

from acdc.bench.overhead import cli as overhead_command
from acdc.engine.cli import generate as generate_command
from acdc.engine.cli import story as story_command
from tests.helpers.fake_engine import FakeEngine
from tests.helpers.fake_many import FakeMany


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """Relative paths, the default --out among them, lead to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake(monkeypatch):
    """Install a fake engine; called again, a new one."""

    def install(**how) -> FakeEngine:
        engine = FakeEngine(**how)
        for module in (story_command, overhead_command):
            monkeypatch.setattr(module, "load_engine", lambda given, **_: engine)
        return engine

    install()
    return install


@pytest.fixture
def many(own_folder, monkeypatch):
    """Install a fake engine for ``generate``; called again, a new one. Sheets are quick."""
    monkeypatch.setattr("acdc.engine.storage.story_writer.draw_sheet", lambda story, title: Image.new("RGB", (2, 2)))

    def install(**how) -> FakeMany:
        engine = FakeMany(**how)
        monkeypatch.setattr(generate_command, "load_engine", lambda given, **_: engine)
        return engine

    install()
    return install


@pytest.fixture
def exact(exact_engine, monkeypatch):
    """Let ``generate`` run the tiny bundle in float64."""
    monkeypatch.setattr(generate_command, "load_engine", lambda given, **_: exact_engine)
    return exact_engine


@pytest.fixture(scope="module")
def alone(exact_engine):
    """The stories of the serial loop, each made once."""
    from tests.helpers.many_stories import Alone  # here, because it imports torch

    return Alone(exact_engine)


@pytest.fixture
def no_thread_is_left():
    """Looks for threads of the engine's when the test is over."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("acdc-")]


@pytest.fixture(scope="session")
def tiny(tiny_path) -> str:
    """The tiny bundle as ``--bundle`` takes it."""
    return str(tiny_path)


@pytest.fixture(scope="session")
def tiniest_path(tmp_path_factory):
    """A bundle that draws four codes a frame, in a quarter of the tiny bundle's time."""
    from tests.helpers.tiny import tiny_bundle  # here, because it imports torch

    return tiny_bundle(tmp_path_factory.mktemp("tiniest"), grid=2)


@pytest.fixture(scope="session")
def tiniest(tiniest_path) -> str:
    """The same as ``--bundle`` takes it."""
    return str(tiniest_path)


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    """A CLIP tokenizer's files over a small vocabulary."""
    from tests.helpers.published import write_tokenizer  # here, because it imports diffusers

    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer_folder):
    """A Stable Diffusion directory as diffusers writes it, and diffusers' pipeline."""
    from tests.helpers.motion import stable_diffusion  # here, because it imports diffusers

    path, theirs = tmp_path_factory.mktemp("base"), stable_diffusion(tokenizer_folder)
    theirs.save_pretrained(str(path))
    return path, theirs


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A motion adapter's directory as diffusers writes it, and diffusers' module."""
    from tests.helpers.motion import adapter_of

    path, theirs = tmp_path_factory.mktemp("adapter"), adapter_of("v1-5-2-like")
    theirs.save_pretrained(str(path))
    return path, theirs


@pytest.fixture(scope="module")
def corrector(base, adapter):
    """Both as ours."""
    from acdc.engine.models.diffusion.animatediff import AnimateDiff

    return AnimateDiff.from_directory(base[0], adapter=adapter[0])


@pytest.fixture(scope="module")
def server():
    """An endpoint on this machine, one for a module's tests."""
    from tests.helpers.chat_runs import running

    yield from running()


@pytest.fixture
def chat_environment(monkeypatch):
    """A key for it, and nothing that this machine may have set."""
    from tests.helpers.chat_runs import set_environment

    set_environment(monkeypatch)
