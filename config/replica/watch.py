"""Is the replica there, and how old is what it shows? A thread of each web process asks, so that no page has to wait.

Its age is measured without any clock but ours: what the primary had written at some moment is noted, and once the
replica has replayed that far, it shows at least that moment. So a primary where nothing happens makes nobody look
late, and a replica that lost its primary grows old, whatever it knows of that itself.
"""

import logging
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.db import Error, connections

from config.replica import ALIAS

log = logging.getLogger(__name__)

MOST_SECONDS = 5  # so old may be what a page shows
EVERY_SECONDS = 1
PATIENCE = 3  # seconds, for the replica's answer to the watch; pages in flight there are cut off after them
MARKS = 600  # how many moments are remembered: beyond ten minutes an age is a lower bound

# The timeline tells a replica of a server that was replaced: it may have gone further on a way that its successor left.
PRIMARY = """
    SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn, system_identifier::text,
           ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
    FROM pg_control_system()
"""
REPLICA = """
    SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn, system_identifier::text, timeline_id, pg_is_in_recovery()
    FROM pg_control_system(), pg_control_checkpoint()
"""


class Watch:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._marks: deque[tuple[float, int]] = deque(maxlen=MARKS)  # (when, how far the primary had written by then)
        self._server: list[Any] = []  # whose marks they are: cluster and timeline
        self._shows: float | None = None  # everything of this moment, at least, while the replica answers
        self._why = "was not asked yet"
        self._plugs: weakref.WeakKeyDictionary[psycopg.Connection[Any], socket.socket] = weakref.WeakKeyDictionary()

    # --- What pages and those who watch ask ---

    def age(self) -> float | None:
        """How many seconds old what it shows may be; None while it does not answer."""
        shows = self._shows
        return None if shows is None else time.monotonic() - shows

    def usable(self) -> bool:
        age = self.age()
        return age is not None and age <= MOST_SECONDS

    def trouble(self) -> str:
        """Completes “the read replica …”; empty while it is used. For strangers too: it names no host."""
        age = self.age()
        if age is None:
            return self._why
        return "" if age <= MOST_SECONDS else f"is {age:.0f} seconds behind"

    # --- What happens to it ---

    def begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_for_ever, name="replica watch", daemon=True)
                self._thread.start()

    def give_up(self, why: str) -> None:
        """Until the thread has found it well again."""
        if self._shows is not None or self._why != why:
            log.warning("Pages are read from the primary: the read replica %s", why)
        self._why, self._shows = why, None

    def keep(self, connection: psycopg.Connection[Any]) -> None:
        """A second handle of its socket: the first may be closed, and its number another's, when the plug is pulled."""
        plug = socket.socket(fileno=socket.dup(connection.fileno()))
        weakref.finalize(connection, plug.close)
        with self._lock:
            self._plugs[connection] = plug

    def _pull_the_plugs(self) -> None:
        """Whoever waits for the replica is cut off, and asks the primary."""
        with self._lock:
            plugs = list(self._plugs.values())
        for plug in plugs:
            with suppress(OSError):
                plug.shutdown(socket.SHUT_RDWR)

    # --- The thread ---

    def _look_for_ever(self) -> None:
        replica: psycopg.Connection[Any] | None = None
        while True:
            try:
                if replica is None:
                    replica = self._connect()
                self.look(replica)
            except Exception as problem:
                log.debug("The read replica could not be asked: %s", problem)
                self.give_up("does not answer")
                self._pull_the_plugs()
                if replica is not None:
                    replica.close()
                replica = None
            connections["default"].close_if_unusable_or_obsolete()
            time.sleep(EVERY_SECONDS)

    def _connect(self) -> psycopg.Connection[Any]:
        """Past Django, whose connection would let the primary answer."""
        alias = connections[ALIAS]
        connection: psycopg.Connection[Any] = alias.get_new_connection(alias.get_connection_params())
        connection.autocommit = True
        return connection

    def look(self, replica: psycopg.Connection[Any]) -> None:
        """Notes how far the primary is, and then how far the replica."""
        began = time.monotonic()
        try:
            with connections["default"].cursor() as cursor:
                cursor.execute(PRIMARY)
                written, *server = cursor.fetchone()
        except Error:
            return  # what the replica shows grows old meanwhile; nobody is better off without it
        with self._in_time():
            row = replica.execute(REPLICA).fetchone()
        assert row is not None
        replayed, *followed, in_recovery = row
        if not in_recovery or replayed is None:
            return self.give_up("is no standby")
        if followed != server:
            return self.give_up("does not follow the server of DATABASE_URL, or not yet")
        if server != self._server:
            self._marks.clear()  # another's positions mean nothing here
            self._server = server
        self._marks.append((began, int(written)))
        while self._marks and self._marks[0][1] <= replayed:
            self._shows, _ = self._marks.popleft()
        return None

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """A server that is frozen, or behind a wire that was cut, refuses nothing and answers nothing."""
        alarm = threading.Timer(PATIENCE, self._pull_the_plugs)
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()


watch = Watch()


def is_configured() -> bool:
    return ALIAS in connections


def trouble_of_replica() -> str:
    return watch.trouble() if is_configured() else ""
