"""Credentials in addresses are not in what is printed, stored or sent, however they are written."""

from __future__ import annotations

import pytest

from ablate.addresses import safe, safe_text, safe_words
from ablate.cli.options import suggested, without_credentials

SECRET = {
    "http://u:hunter2@h:5000/": "http://h:5000/",
    "http://hunter2@h": "http://h",
    "http://u:p@hunter2@h": "http://h",
    "http://u:p/hunter2@h/x": "http://h/x",
    "http://u:p:hunter2@h": "http://h",
    "http://u:p%40hunter2@h": "http://h",
    "http://u:p%2@hunter2@h": "http://h",
    "http://u:%68unter2@h": "http://h",
    "http://u:p?hunter2@h": "http://***",
    "http://u:p#hunter2@h": "http://***",
    "http://u:80?a=hunter2@h": "http://***",
    "http://u:p@h/x?token=hunter2#hunter2": "http://h/x?token=***#***",
    "http://h?hunter2": "http://h?***",
    "postgresql+psycopg2://h/db?sslmode=require&sslpassword=hunter2": "postgresql+psycopg2://h/db?sslmode=require&sslpassword=***",
    "postgresql://h/db?password=p@hunter2": "postgresql://***",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2": "mssql+pyodbc:///?odbc_connect=***",
    "ray://u:hunter2@h:10001": "ray://h:10001",
    "u:hunter2@h:5000": "h:5000",
}

PLAIN = [
    *("http://h:5000/a/b", "http://[::1]:5000", "sqlite:///me@home/a#b.db?timeout=5", "sqlite:////a/b.db", "mlruns"),
    *(
        "./me@home/mlruns",
        "C:/mlruns",
        "file:///me@home",
        "databricks://profile",
        "postgresql://h/db?sslmode=require",
        "",
    ),
]


@pytest.mark.parametrize("url", SECRET)
def test_credentials_are_hidden(url):
    assert safe(url) == SECRET[url]
    assert safe(safe(url)) == safe(url)


@pytest.mark.parametrize("url", PLAIN)
def test_addresses_without_credentials_stay(url):
    assert safe(url) == url


@pytest.mark.parametrize("url", SECRET)
def test_errors_that_quote_an_address_or_a_part_of_it_hide_its_credentials(url):
    text = f"request to {url.rstrip('/')}/api failed: host 'hunter2@h', port 'hunter2', {url!r}, %68unter2"
    assert "unter2" not in safe_text(text, url).replace("%68unter2", "" if "%68" not in url else "%68unter2")
    assert "failed" in safe_text(text, url)


def test_a_short_password_is_hidden_where_it_is_a_word():
    assert safe_text("cannot log in as 'ca' with ca", "http://u:ca@h") == "cannot log in as '***' with ***"


def test_other_addresses_in_a_text_are_hidden_too():
    assert safe_text("proxy http://u:hunter2@p:80 refused") == "proxy http://p:80 refused"


def test_words_of_a_command_keep_everything_but_credentials():
    words = ["run", "r.yaml", "--tracking-uri", "u:hunter2@h", "--tracking-uri=http://u:hunter2@h", "--only", "a:b@c"]
    assert safe_words([*words, "--set", "data.url=http://u:hunter2@h"]) == [
        *("run", "r.yaml", "--tracking-uri", "h", "--tracking-uri=http://h", "--only", "a:b@c"),
        *("--set", "data.url=http://h"),
    ]


@pytest.mark.parametrize("flag", [["--tracking-uri", "http://u:hunter2@h"], ["--tracking-uri=http://u:hunter2@h"]])
def test_a_suggested_command_works_without_the_credentials(flag):
    said = suggested("run", "my recipe.yaml", flags=[*flag, "--seeds", "2"])
    assert said == without_credentials(["ablate", "run", "my recipe.yaml", *flag, "--seeds", "2"])
    assert said.startswith("ablate run 'my recipe.yaml' --seeds 2 (set MLFLOW_TRACKING_URI ")
    assert "hunter2" not in said
    assert suggested("sync", flags=["--tracking-uri", "http://h"]) == "ablate sync --tracking-uri http://h"


@pytest.mark.parametrize("url", [*SECRET, *PLAIN])
def test_nothing_is_left_of_a_webhook(url):
    words = ["ablate", "run", "r.yaml", "--notify", url, f"--notify={url}", "--bell"]
    assert safe_words(words) == ["ablate", "run", "r.yaml", "--notify", "***", "--notify=***", "--bell"]
    assert safe_words(safe_words(words)) == safe_words(words)


def test_a_suggested_command_says_how_to_pass_all_that_is_hidden():
    uri = ["--tracking-uri", "http://u:hunter2@h"]
    said = suggested("run", "r.yaml", flags=["--notify", "https://h/hunter2", *uri, "--bell", "--notify=x"])
    assert said == (
        "ablate run r.yaml --bell (set ABLATE_NOTIFY to the URL of --notify first: it is not shown; set "
        "MLFLOW_TRACKING_URI to the tracking URI first: its credentials are not shown)"
    )
