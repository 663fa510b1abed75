"""How much one token may ask, and how often one address may be wrong, so that neither starves all others.

Counted in Django's cache: without a shared one, each web process counts for itself. A token then has its limit in each
of them, so that nobody is refused below it, and the whole is at most the limit times the processes. django-ninja's own
throttles keep the time of each request in a list, which is read and written at every request.
"""

import logging
import time

from django.conf import settings
from django.core.cache import cache

from agents.models import ApiToken

log = logging.getLogger(__name__)

SECOND, MINUTE = 1, 60


class TooMany(Exception):
    """Not now. The text is a sentence for who asked; after so many seconds it is worth a try."""

    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(sentence)
        self.seconds = seconds


def count_request(token: ApiToken) -> None:
    """One more of this token's. Raises TooMany."""
    for span, most, unit in (
        (SECOND, settings.API_REQUESTS_PER_SECOND, "second"),
        (MINUTE, settings.API_REQUESTS_PER_MINUTE, "minute"),
    ):
        if not most:
            continue
        asked, rest = _one_more(f"token:{token.pk}", span)
        if asked == most + 1:
            log.warning("The token %s asks more than %s times a %s", token, most, unit)
        if asked > most:
            raise TooMany(f"The token “{token.name}” asks more than {most:,} times a {unit}; wait a little.", rest)


def count_wrong_token(address: str) -> None:
    """One more from there that nobody knows. Who has a good token is let in beside it, and never waits for others."""
    most = settings.API_WRONG_TOKENS_PER_MINUTE
    tried, rest = _one_more(f"wrong:{address}", MINUTE)
    if tried == most + 1:
        log.warning("More than %s wrong tokens in a minute from %s", most, address)
    if tried > most:
        raise TooMany("Too many wrong tokens came from your address; wait, and ask whoever made your token.", rest)


def _one_more(who: str, span: int) -> tuple[int, int]:
    """How many it is in this second or minute of the clock, and the seconds until the next begins."""
    now = int(time.time())
    key = f"asked:{span}:{now // span}:{who}"
    cache.add(key, 0, 2 * span)
    try:
        return cache.incr(key), span - now % span
    except ValueError:  # forgotten this very moment
        return 1, span
