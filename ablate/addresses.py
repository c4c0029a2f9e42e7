"""Addresses (URLs) with a user name, password or token, in the form that may be printed, stored and sent.

In doubt, more is hidden: libraries do not agree on where a password with a raw ``@``, ``/``, ``?`` or ``#`` ends
(`urllib.parse.urlsplit` ends it at the first ``/``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote_plus

HIDDEN = "***"

OPEN = {
    *("application_name", "cached_statements", "charset", "check_same_thread", "connect_timeout", "dbname", "driver"),
    *("encrypt", "host", "mode", "options", "port", "schema", "sslmode", "timeout", "trustservercertificate", "uri"),
}
"""Names in a query whose values are shown; all others may be secrets."""


WHOLE = ("--notify",)
"""Flags whose whole URL is a secret: anyone who knows its path can post."""


def safe(url: str) -> str:
    """The URL without user name and password, and without the values in its query that are not in `OPEN`."""
    start, _, place, query = _parts(url)
    return start + place + re.sub(r"[^?#&;]+", _shown, query)


def safe_words(words: Sequence[str]) -> list[str]:
    """The words of a command line with `safe` URLs, also in ``--flag=URL``; nothing is left of those of `WHOLE`."""
    before = ["", *words]
    return [_safe_word(word, after=before[i]) for i, word in enumerate(words)]


def safe_text(text: str, url: str = "") -> str:
    """A text, such as the error of a library, with `safe` URLs and without the secrets of ``url``."""
    text = text.replace(url, safe(url)) if url else text
    for secret in sorted(set(_secrets(url)), key=len, reverse=True):
        # a short one is hidden only where it is a word
        text = re.sub(re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    return re.sub(r"[A-Za-z][\w+.-]*://[^\s'\"<>]+", lambda found: safe(found[0]), text)


def _parts(url: str) -> tuple[str, str, str, str]:
    """The scheme with its mark, the user name and password, the host and path, and the query and fragment."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    start = scheme + mark
    if rest.startswith("/") or not (mark or re.search(r":.*@", rest)):  # a file
        place, _, query = rest.partition("?")
        return start, "", place, f"?{query}" if query else ""
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    query = rest[len(place) :]
    if "@" in query:
        return start, rest, HIDDEN, ""
    credentials, _, place = place.rpartition("@")
    return start, credentials, place, query


def _secrets(url: str) -> Iterator[str]:
    """Passwords and tokens of a URL, whole and in the pieces that other parsers take them for."""
    _, credentials, place, query = _parts(url)
    if place == HIDDEN:  # unclear: either could be it
        credentials, query = credentials.rpartition("@")[0], credentials
    user, colon, password = credentials.partition(":")
    found = [password if colon else user]
    found += [value for name, _, value in map(_pair, re.split(r"[?#&;]", query)) if name not in OPEN]
    for secret in filter(None, found):
        for spelling in (secret, unquote_plus(secret), quote(secret, safe=""), quote(unquote_plus(secret), safe="")):
            yield spelling
            yield from (piece for piece in re.split(r"[@:/?#&=%]", spelling) if len(piece) > 2)


def _pair(piece: str) -> tuple[str, str, str]:
    name, equals, value = piece.partition("=")
    return (name.lower(), equals, value) if equals else ("", "", name)


def _shown(found: re.Match[str]) -> str:
    name, equals, _ = found[0].partition("=")
    return found[0] if name.lower() in OPEN else f"{name}={HIDDEN}" if equals else HIDDEN


def _safe_word(word: str, after: str) -> str:
    if after in WHOLE:
        return HIDDEN
    if word.startswith(tuple(f"{flag}=" for flag in WHOLE)):
        return word[: word.index("=") + 1] + HIDDEN
    scheme = re.search(r"[A-Za-z][\w+.-]*://", word)
    if scheme is not None:
        return word[: scheme.start()] + safe(word[scheme.start() :])
    flag, equals, value = word.partition("=")
    if equals and flag.startswith("--") and flag.endswith(("uri", "url")):
        return flag + equals + safe(value)
    return safe(word) if after.startswith("--") and after.endswith(("uri", "url")) else word
