"""Posts JSON to a webhook. The whole URL is a secret, because anyone who knows it can post. Only its scheme and host
are shown, and no part of it is stored.
"""

from __future__ import annotations

import json
import re
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ablate.addresses import HIDDEN
from ablate.version import __version__

LATER = (408, 425, 429)
"""Statuses below 500 with which a server asks for another attempt."""


@dataclass(frozen=True)
class Patience:
    """The number of attempts, and limits in seconds: of the wait for an answer, of the pause before the second attempt
    (doubled for each other), and of all together.
    """

    attempts: int = 3
    answer: float = 5.0
    pause: float = 1.0
    total: float = 20.0


PATIENCE = Patience()


@dataclass(frozen=True)
class Webhook:
    """``url`` has no user name and password, which are in ``headers``; ``shown`` is its scheme and host."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    shown: str

    @classmethod
    def of(cls, url: str, name: str) -> Webhook:
        """The webhook at a URL that was given as ``name``. Raises ValueError, without the URL."""
        scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url)
        what = f"{name} (={scheme[0] if scheme else ''}{HIDDEN})"
        if not re.fullmatch(r"[!-~]+", url):
            raise ValueError(f"{what} must not be empty or contain spaces or characters outside ASCII.")
        if scheme is None or scheme[0].lower() not in ("http://", "https://"):
            raise ValueError(f"{what} must start with http:// or https://.")
        try:
            parts = urlsplit(url)
            valid = bool(parts.hostname) and parts.port != 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}"
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(
                f"{what} must have a valid host and port. In user name and password, write @ / : ? # as %40 %2F %3A "
                "%3F %23; after the host, write @ as %40."
            )
        host = parts.netloc.rpartition("@")[2]
        headers = {"Content-Type": "application/json", "User-Agent": f"ablate/{__version__}"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        bare = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
        return cls(bare, headers, f"{parts.scheme}://{host}")

    def post(self, message: Mapping[str, Any], patience: Patience | None = None) -> str | None:
        """Post a message as JSON. Returns None, or why it was not sent, without the URL's secrets.

        It is sent again if the server cannot be reached, answers too late or with an error that may pass. Raises
        nothing but KeyboardInterrupt.
        """
        patience = patience or PATIENCE
        reasons: list[str | None] = []
        work = threading.Thread(target=lambda: reasons.append(self._attempts(message, patience)), daemon=True)
        work.start()
        # the limits of a socket do not bound the search for an address, nor an answer that comes byte by byte
        work.join(patience.total)
        return reasons[0] if reasons else f"no answer within {patience.total:g} s"

    def _attempts(self, message: Mapping[str, Any], patience: Patience) -> str | None:
        reason: str | None = None
        for attempt in range(patience.attempts):
            if attempt:
                time.sleep(patience.pause * 2 ** (attempt - 1))
            reason, again = self._attempt(message, patience)
            if not again:
                return reason
        return f"{reason} ({patience.attempts} attempts)" if patience.attempts > 1 else reason

    def _attempt(self, message: Mapping[str, Any], patience: Patience) -> tuple[str | None, bool]:
        """Why the message was not sent, None if it was, and whether to try again."""
        # errors may quote the URL or the server, which may quote it, too: none of their texts is used
        try:
            request = Request(self.url, json.dumps(message).encode(), dict(self.headers), method="POST")
            with build_opener(_NoRedirect).open(request, timeout=patience.answer):
                return None, False
        except HTTPError as error:
            error.close()
            redirect = ". It is a redirect, which is not followed" if 300 <= error.code < 400 else ""
            return f"HTTP {error.code}{redirect}", error.code >= 500 or error.code in LATER
        except (OSError, HTTPException) as error:
            cause = error.reason if isinstance(error, URLError) else error
            if isinstance(cause, TimeoutError):
                return f"no answer within {patience.answer:g} s", True
            return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__, True
        except Exception as error:
            return type(error).__name__, False


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an error: the message is for nobody but the host that was given."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
