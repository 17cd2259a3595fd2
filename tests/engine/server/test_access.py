"""Access to the server: keys, cookies, hosts, origins; secrets and sentences stay out of answers and logs."""

import logging

import pytest

from acdc.engine.server.keys import COOKIE
from acdc.engine.server.settings import read_settings
from acdc.engine.server.signing import Signer, load_signer
from tests.helpers.serving_here import client_of, ended, settings_of, worker_of

KEY = "a-long-random-key"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client_of(settings_of(tmp_path_factory.mktemp("serve"), api_keys=[KEY, "another"])) as found:
        yield found


@pytest.fixture
def client(served):
    """Without its key."""
    served.headers.pop("authorization", None)
    served.cookies.clear()
    return served


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer x", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}"]
)
@pytest.mark.parametrize(
    "path", ["/v1/stories", "/v1/models", "/v1/events", "/v1/stories/a/frames/0.png", "/v1/none", "/v1"]
)
def test_everything_below_v1_needs_a_key(client, path, given):
    answer = client.get(path, headers={"authorization": given} if given is not None else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "authentication_error"
    assert KEY not in answer.text


def test_every_key_opens_and_operation_needs_none(client):
    for key in (KEY, "another"):
        assert client.get("/v1/stories", headers={"authorization": f"Bearer {key}"}).status_code == 200
    for path in ("/healthz", "/version", "/metrics", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200, path


def test_a_prefix_does_not_lead_around_the_key(tmp_path):
    with client_of(settings_of(tmp_path, api_keys=[KEY], root_path="/acdc")) as client:
        for path in ("/acdc/v1/stories", "/v1/stories"):
            assert client.get(path).status_code == 200
            assert client.get(path, headers={"authorization": "Bearer x"}).status_code == 401


def test_a_key_is_exchanged_for_a_cookie_that_scripts_cannot_read(client):
    assert client.get("/v1/session").json() == {"required": True, "accepted": False}
    assert client.post("/v1/session", json={"key": "wrong"}).status_code == 401
    answer = client.post("/v1/session", json={"key": KEY})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert KEY not in cookie
    assert client.get("/v1/stories").status_code == 200  # the client keeps cookies
    client.cookies.set(COOKIE, client.cookies[COOKIE][:-3])
    assert client.get("/v1/stories", headers={"cookie": f"{COOKIE}=x"}).status_code == 401


def test_a_cookie_is_worth_nothing_after_its_key_is_gone(tmp_path):
    with client_of(settings_of(tmp_path, api_keys=[KEY])) as client:
        client.post("/v1/session", json={"key": KEY})
        value = client.cookies[COOKIE]
    with client_of(settings_of(tmp_path, api_keys=["new"])) as client:
        del client.headers["authorization"]
        assert client.get("/v1/stories", headers={"cookie": f"{COOKIE}={value}"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 400)]
)
def test_the_host_must_be_this_one(tmp_path, host, status):
    with client_of(settings_of(tmp_path)) as client:
        assert client.get("/healthz", headers={"host": host}).status_code == status


def test_pages_of_other_origins_may_not_write(tmp_path):
    with client_of(settings_of(tmp_path)) as client:
        body = {"sentences": ["A fox sat."]}
        for origin, status in (("https://evil.example", 403), ("null", 403), ("http://localhost", 201)):
            assert client.post("/v1/stories", json=body, headers={"origin": origin}).status_code == status
        assert "access-control-allow-origin" not in client.get("/v1/stories", headers={"origin": "https://a.b"}).headers
    with client_of(settings_of(tmp_path, allowed_origins=["https://a.b"], api_keys=[KEY])) as client:
        ask = {"origin": "https://a.b", "access-control-request-method": "POST"}
        assert client.options("/v1/stories", headers=ask).headers["access-control-allow-origin"] == "https://a.b"
        assert client.post("/v1/stories", json=body, headers={"origin": "https://a.b"}).status_code == 201


def test_every_answer_has_its_headers(tmp_path):
    with client_of(settings_of(tmp_path)) as client:
        for path in ("/healthz", "/v1/stories", "/none"):
            answer = client.get(path, headers={"x-request-id": "mine"})
            assert answer.headers["x-request-id"] == "mine"
            assert answer.headers["content-security-policy"].startswith("default-src 'self'")
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(client.get("/healthz").headers["x-request-id"]) == 32


def test_sentences_and_ids_are_neither_logged_nor_measured(tmp_path, caplog):
    settings = settings_of(tmp_path)
    with caplog.at_level(logging.INFO), client_of(settings) as client, worker_of(settings):
        name = client.post("/v1/stories", json={"sentences": ["Zanzibar sat."], "id": "quagga"}).json()["id"]
        ended(client, name)
        bad = client.post("/v1/stories", json={"sentences": ["Zanzibar ran."], "quagga": 1})
        assert bad.status_code == 400
        metrics = client.get("/metrics").text
    assert "acdc:frames_total" in metrics
    for word in ("zanzibar", "quagga"):
        ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
        assert ours
        assert word not in " ".join(ours).lower()
        assert word not in metrics.lower()


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    one, other = load_signer(None, tmp_path), load_signer(None, tmp_path)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    text = one.sealed("a", {"x": 1})
    assert other.opened("a", text) == {"x": 1}
    assert other.opened("b", text) is None
    assert Signer(b"other").opened("a", text) is None
    assert one.opened("a", one.sealed("a", {}, -1)) is None


@pytest.mark.parametrize(
    ("environment", "given", "reason"),
    [
        ({"ACDC_SERVE_PROT": "1"}, {}, "ACDC_SERVE_PROT is unknown"),
        ({"ACDC_SERVE_PORT": "x"}, {}, "port"),
        ({}, {"host": "0.0.0.0"}, "give a key"),
        ({}, {"host": "example.org"}, "give a key"),
        ({}, {"api_keys": [""]}, "a key is empty"),
        ({}, {"options": {"correction.strength": 3}}, "strength"),
        ({}, {"options": {"correction.strenght": 0.3}}, "strenght"),
        ({}, {"options": {"engine.devise": "cpu"}}, "devise"),
        ({}, {"ssl_certfile": "a"}, "ssl_keyfile"),
        ({}, {"config": "no-such-file.toml"}, "no-such-file.toml"),
    ],
)
def test_settings_that_are_wrong_are_refused_in_one_line(monkeypatch, environment, given, reason):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=reason) as error:
        read_settings(**given)
    assert "\n" not in str(error.value)


def test_arguments_come_before_the_environment_and_that_before_the_file(tmp_path, monkeypatch):
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nmax_queue = 2\nworkers = 3\n[options]\n"correction.strength" = 0.4\n')
    monkeypatch.setenv("ACDC_SERVE_PORT", "4")
    monkeypatch.setenv("ACDC_SERVE_API_KEYS", f'["{KEY}"]')
    settings = read_settings(str(file), workers=5)
    assert (settings.port, settings.max_queue, settings.workers) == (4, 2, 5)
    assert settings.story_options.correction.strength == 0.4
    assert KEY not in settings.masked()
    assert KEY not in repr(settings)
    file.write_text("prot = 1\n")
    with pytest.raises(ValueError, match="prot"):
        read_settings(str(file))
