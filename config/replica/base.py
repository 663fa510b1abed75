"""The connection to the replica: what it cannot answer, for whatever reason, the primary is asked at once.

A statement at a time and not a page: a page may have written down already that somebody looked, or have sent half of a
file. Each statement reads on its own (there is no transaction here), so that asking another server is no other answer
than asking a little later. An error that is the statement's own is the primary's to tell.
"""

from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.utils import CursorWrapper
from django.utils.functional import cached_property

from config.postgresql.base import DatabaseWrapper as PrimaryWrapper
from config.replica.watch import log, watch


class DatabaseWrapper(PrimaryWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(self._or_primary)

    @cached_property
    def pg_version(self) -> int:
        """A standby has its primary's; asked there, it would need the standby."""
        version: int = connections[DEFAULT_DB_ALIAS].pg_version  # type: ignore[attr-defined]
        return version

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        watch.keep(connection)
        return connection

    def cursor(self) -> CursorWrapper:
        if watch.usable():
            try:
                return super().cursor()
            except Error as problem:
                self._failed(problem)
        return connections[DEFAULT_DB_ALIAS].cursor()

    def _or_primary(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        try:
            return execute(sql, params, many, context)
        except Error as problem:
            self._failed(problem)
        cursor, primary = context["cursor"], connections[DEFAULT_DB_ALIAS].cursor()
        cursor.cursor, cursor.db = primary.cursor, primary.db  # the reader has this cursor in hand
        return cursor.execute(sql, params)

    def _failed(self, problem: Error) -> None:
        """A statement that the replica cancelled is one statement; a connection that is gone says more."""
        if self.connection is None or self.connection.closed:
            self.close()
            watch.give_up("does not answer")
        else:
            log.info("The primary answers what the read replica did not: %s", str(problem).partition("\n")[0])
