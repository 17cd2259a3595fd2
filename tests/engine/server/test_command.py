"""``acdc serve`` on the command line: its configuration, and mistakes that are refused before anything is loaded."""

import json

import pytest

from acdc.engine.cli.main import main
from tests.helpers.cli_runs import refuse


def test_show_config_prints_what_is_in_force_without_secrets(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ACDC_SERVE_API_KEYS", '["very-secret"]')
    monkeypatch.setenv("ACDC_SERVE_MAX_QUEUE", "7")
    lora = tmp_path / "a.safetensors"
    flags = [
        "--steps",
        "10",
        "--memory",
        "none",
        "--concurrency",
        "3",
        "--lora",
        f"{lora}=0.5",
        "--set",
        "sampling.top_p=0.9",
    ]
    assert main(["serve", "storyworld-video", "--port", "0", "--show-config", *flags]) == 0
    printed = capsys.readouterr().out
    assert "very-secret" not in printed
    shown = json.loads(printed)
    assert (shown["port"], shown["max_queue"]) == (0, 7)
    assert shown["options"] == {
        "engine.bundle": "storyworld-video",
        "engine.loras": [f"{lora}=0.5"],
        "correction.num_inference_steps": 10,
        "memory.name": "none",
        "scheduler.stories": 3,
        "sampling.top_p": 0.9,
    }


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--host 0.0.0.0", "give a key"),
        ("--port 70000", "port"),
        ("--steps 0", "steps"),
        ("--set sampling.top_p=2", "top_p"),
        ("--slots 0", "slots"),
        ("--config none.toml", "none.toml"),
        ("storyworld --bundle storyworld", "given together"),
        ("--ssl-certfile a.pem", "ssl_keyfile"),
        ("--lease 1", "unknown option --lease"),
    ],
)
def test_mistakes_are_one_line(capsys, flags, reason):
    assert reason in refuse(capsys, "serve", *flags.split())


def test_a_misspelt_variable_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("ACDC_SERVE_HOTS", "127.0.0.1")
    assert "ACDC_SERVE_HOTS is unknown" in refuse(capsys, "serve")
