"""Messages to a webhook: sent once, sent again only if that can help, to no other host, and never with its URL in a reason."""

from __future__ import annotations

import socket
import threading
from base64 import b64encode

import pytest

from ablate.tracking.webhook import Patience, Webhook

QUICK = Patience(attempts=3, answer=5.0, pause=0.0, total=20.0)
SECRET = "/services/T0/hunter2?token=hunter2"


def post(host, patience=QUICK, scheme="http", login="user:hunter2@"):
    reason = Webhook.of(f"{scheme}://{login}{host}{SECRET}", "--notify").post({"text": "Δ"}, patience)
    assert "unter2" not in str(reason)
    return reason


def test_a_message_is_json_for_the_path_and_the_user_of_the_url(inbox):
    assert post(inbox.host, login="us%40er:p%3Aw@") is None
    [(method, path, headers, body)] = inbox.seen
    assert (method, path, body) == ("POST", SECRET, b'{"text": "\\u0394"}')
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == f"Basic {b64encode(b'us@er:p:w').decode()}"
    assert headers["Host"] == inbox.host
    assert headers["User-Agent"].startswith("ablate/")


def test_without_a_user_there_is_no_authorization(inbox):
    assert post(inbox.host, login="") is None
    assert "Authorization" not in inbox.seen[0][2]


@pytest.mark.parametrize(
    ("answers", "sent", "reason"),
    [
        ([204], 1, None),
        ([500, 200], 2, None),
        ([429, 503, 200], 3, None),
        ([500], 3, "HTTP 500 (3 attempts)"),
        ([404], 1, "HTTP 404"),
        ([500, 403], 2, "HTTP 403"),
    ],
)
def test_a_message_is_sent_again_only_if_the_error_may_pass(inbox, answers, sent, reason):
    inbox.answers = answers
    assert post(inbox.host) == reason
    assert len(inbox.seen) == sent
    assert {body for *_, body in inbox.seen} == {b'{"text": "\\u0394"}'}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(inbox, status):
    inbox.answers = [(status, f"http://{inbox.host}/other")]
    assert post(inbox.host) == f"HTTP {status}. It is a redirect, which is not followed"
    assert [path for _, path, *_ in inbox.seen] == [SECRET]


def test_a_server_that_does_not_answer_is_given_up(inbox):
    inbox.answers = ["silent"]
    assert post(inbox.host, Patience(2, answer=0.05, pause=0.0)) == "no answer within 0.05 s (2 attempts)"
    assert len(inbox.seen) == 2


def test_an_answer_without_end_is_given_up():
    """A server that sends a byte now and then reaches no timeout of a socket."""
    over = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.01):
                connection.sendall(b"A: b\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        assert post(host, Patience(1, answer=60.0, total=0.2)) == "no answer within 0.2 s"
        over.set()
        thread.join()


def test_a_closed_port_and_a_server_without_tls(inbox):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert post(f"127.0.0.1:{port}") == "Connection refused (3 attempts)"
    assert post(inbox.host, scheme="https").endswith(" (3 attempts)")
    assert inbox.seen == []


def test_an_answer_that_quotes_the_url_is_not_quoted():
    def answer(listener):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(10_000).split(b" ")[1] + b"\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        assert post(f"127.0.0.1:{listener.getsockname()[1]}", Patience(1)) == "BadStatusLine"
        thread.join()


WRONG = {
    "": "(=***) must not be empty",
    "hooks.example/hunter2": "(=***) must start with http:// or https://.",
    "ftp://h/hunter2": "(=ftp://***) must start with http:// or https://.",
    "file:///hunter2": "(=file://***) must start with http:// or https://.",
    "http:/h/hunter2": "(=***) must start",
    "http://h/hunter2 x": "(=http://***) must not be empty or contain spaces",
    "http://h/hünter2": "(=http://***) must not be empty or contain spaces or characters outside ASCII.",
    "http:///hunter2": "(=http://***) must have a valid host and port.",
    "http://u:p/hunter2@h": "(=http://***) must have a valid host",
    "http://u:80/hunter2@h": "(=http://***) must have a valid host",
    "http://u:80?hunter2@h": "(=http://***) must have a valid host",
    "http://h:99999/hunter2": "(=http://***) must have a valid host and port.",
    "http://[::1/hunter2": "(=http://***) must have a valid host",
}


@pytest.mark.parametrize("url", WRONG)
def test_wrong_urls_are_refused_without_being_shown(url):
    with pytest.raises(ValueError, match="--notify") as error:
        Webhook.of(url, "--notify")
    assert str(error.value).startswith(f"--notify {WRONG[url]}")
    assert "nter2" not in str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_webhook_shows_its_scheme_and_host_only():
    webhook = Webhook.of("HTTPS://user:hunter2@[::1]:8443/hunter2?hunter2#hunter2", "--notify")
    assert webhook.shown == "https://[::1]:8443"
    assert "hunter2" not in repr(webhook)
    assert webhook.url == "https://[::1]:8443/hunter2?hunter2"
