"""URLs in messages: without what may be secret."""

from __future__ import annotations

import re

from lcplm_graph.strings import without_secrets

_PATH_QUERY = re.compile(r"(url: [^\s?]*)\?\S+")


def shown_url(url: str) -> str:
    """Return a URL without what may be secret: user, password, and the query.

    Examples
    --------
    >>> shown_url("https://me:secret@host.org:80/a/b.gz?token=1")
    'https://host.org:80/a/b.gz'
    """
    scheme, _, place, _ = _parts(url)
    return scheme + place


def without_its_secrets(url: str, error: Exception) -> str:
    """Say an error without the secrets of the URLs in it: this one, a proxy's, a redirection's."""
    _, user, _, query = _parts(url)
    text = str(error).replace(url, shown_url(url))
    # A password may be repeated alone, or with the name before it.
    for secret in (user, user.rstrip("@"), query, user.rstrip("@").partition(":")[2]):
        if secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "...", text)
    # A redirection is named by path and query alone.
    return _PATH_QUERY.sub(r"\1?...", without_secrets(text))


def _parts(url: str) -> tuple[str, str, str, str]:
    """Scheme, user with password, host with path, and query of any text: URLs may be faulty."""
    found = re.fullmatch(r"(\w+://)?((?:[^/?#]*@)?)([^?#]*)(.*)", url, re.DOTALL)
    return (found[1] or "", found[2], found[3], found[4]) if found else ("", "", url, "")
