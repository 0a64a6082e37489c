"""A replay's own token, which is also the mark of what was recorded.

Matomo records a bulk request in one transaction ([Tracker] bulk_requests_use_transaction) and
checks its token in it: UsersManager\\Model::setTokenAuthWasUsed writes ``last_used`` at a token's
first use. So a token that is set to "never used" before each batch tells afterwards, whatever
became of the answer: used = the batch was recorded, whole; not used = nothing of it was. Asking
waits for a batch that is still at work (it holds the row), and takes the token away first, so
that a request which still waits at the web server's door is refused when it comes in at last.

The token exists in this process's memory and, as a hash, in Matomo's table; it ends by itself
after two days. Used where the database is reached.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import weakref
from collections.abc import Mapping
from typing import Callable, Optional, TypeVar

from matops.errors import MatopsError, OutcomeUnknown
from matops.matomo import ini, queue_setup
from matops.matomo.database import Database
from matops.mysql.session import ConnectionCut, DatabaseError, NotReachable, Session

T = TypeVar("T")

NAME = "matops logs.replay"
"""How a token's description begins: so an administrator sees whose it is."""

_LOCK_WAIT, _DEADLOCK = 1205, 1213
_SETTLE = 2.0
"""Seconds between a token's check and its mark that a request is given, at the least: the two are
neighbouring statements in one PHP function."""
_LINGER = 30.0
"""Seconds that connections of Matomo's account are waited for: an archiver's stays for hours."""
_OURS: weakref.WeakSet[Session] = weakref.WeakSet()
"""Our own connections of that account."""


class Token:
    """One token in one worker's hand. Not for several threads at once.

    ``patience``: seconds that the database may be away, or a batch at work. ``stop``: gives up
    waiting (OutcomeUnknown). All raise DatabaseError for what is not a matter of waiting.
    """

    def __init__(
        self,
        docroot: str,
        replay: str,
        patience: float,
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._db = Database(docroot)
        self._table = self._db.table("user_token_auth")
        whole = ini.text_of(self._db.config, "Tracker", "bulk_requests_use_transaction", "1")
        self._whole = queue_setup.is_true(whole)
        """False: there is no transaction, so nobody waits for a batch by its token's row."""
        self._replay, self._patience, self._stop, self._tell = replay, patience, stop, tell
        self.secret = ""
        self.id = 0
        ours(self._db)

    def make(self) -> None:
        """A new token. MatopsError where there is no superuser or no salt."""
        login = self._db.session.value("token_owner", user=self._db.table("user"))
        salt = ini.text_of(self._db.config, "General", "salt")
        if not login or not salt:
            raise MatopsError(
                "a token cannot be made: " + ("no salt in [General]" if login else "no superuser"),
                state="Nothing was sent",
                next="make one in Matomo and give it with --token-file",
            )
        secret = secrets.token_hex(16)
        digest = hash_of(secret, salt)
        self._run("token_put", login, f"{NAME} {self._replay}", digest)
        self.id = int(self._db.session.value("token_id", (digest,), tokens=self._table))
        self.secret = secret

    def arm(self, batch: int) -> int:
        """Ready for that batch: as if never used; the token's number."""
        return self._wait(lambda: self._arm(f"{NAME} {self._replay} {batch}"), doubt=False)

    def _arm(self, name: str) -> int:
        if not self.id or not self._run("token_arm", name, self.id):
            self.make()
            self._run("token_arm", name, self.id)
        return self.id

    def used(self) -> bool:
        """After an answer of the server: was the armed batch recorded?"""
        return bool(self._wait(lambda: self._told(self.id)))

    def revoke(self, token: int) -> None:
        """From now on nobody comes in with that token. Waits for a batch that is at work."""
        self._wait(lambda: self._revoke(token))

    def end_others(self, replay: str) -> int:
        """Takes what another replay than ``replay`` left its force, and waits for its last request:
        its batch may be at work still. Its own marks stay: it can go on. How many tokens."""
        rows = self._db.session.rows("token_ours", (f"{NAME}%",), tokens=self._table)
        others = [row for row in rows if not str(row["description"]).startswith(f"{NAME} {replay}")]
        others = [row for row in others if int(row["id"]) != self.id and row["in_force"]]
        for row in others:
            self.revoke(int(row["id"]))
        if others:
            self.quiet()
        return len(others)

    def settle(self, token: int, batch: int, wait: bool = True) -> Optional[bool]:
        """Takes token ``token`` away and tells whether ``batch`` was recorded with it. None: the
        token is gone, or was used for another batch: it cannot tell. ``wait`` False: others that
        were revoked at the same time have been waited for.

        Waits for a batch that is at work. Raises OutcomeUnknown where that takes too long.
        """
        told: Optional[bool] = None
        if self._wait(lambda: self._revoke(token)):
            told = self._wait(lambda: self._told(token, batch))
            if wait and (told is False or not self._whole):
                self.quiet()
                told = self._wait(lambda: self._told(token, batch))
            self._wait(lambda: self._run("token_drop", token))
        if token == self.id:
            self.secret, self.id = "", 0
        return told

    def quiet(self) -> None:
        """Waits until each request that is under way now has ended: its connection is gone.

        One may stand between the token's check and the mark; and one whose transaction the
        server aborted (deadlock, innodb_snapshot_isolation) in a statement whose failure Matomo
        passes over (Option::set) goes on recording, hit by hit, without holding the row.
        """
        time.sleep(_SETTLE)
        began, seen = time.monotonic(), self._wait(self._company)
        while seen and time.monotonic() - began < _LINGER and not self._stop():
            time.sleep(0.25)
            seen &= self._wait(self._company)

    def _company(self) -> set[int]:
        rows = self._db.session.rows("token_company")
        return {int(row["id"]) for row in rows} - {one.connection_id for one in _OURS}

    def _revoke(self, token: int) -> int:
        return self._run("token_revoke", f"revoked-{secrets.token_hex(32)}", token)

    def _told(self, token: int, batch: int = 0) -> Optional[bool]:
        rows = self._db.session.rows("token_told", (token,), tokens=self._table)
        if not rows or (batch and str(rows[0]["description"]).split()[-1] != str(batch)):
            return None
        return rows[0]["last_used"] is not None

    def _wait(self, ask: Callable[[], T], doubt: bool = True) -> T:
        until = time.monotonic() + self._patience
        while True:
            try:
                return ask()
            except DatabaseError as error:
                away = isinstance(error, (ConnectionCut, NotReachable))
                if not away and error.number not in (_LOCK_WAIT, _DEADLOCK):
                    raise
                if time.monotonic() > until or self._stop():
                    if not doubt:
                        raise
                    raise self._unknown(away) from None
                self._tell(f"  waiting for the database: {error.what}")
                time.sleep(0.5)
                if away:
                    self._reconnect()

    def _reconnect(self) -> None:
        try:
            self._db.session.reconnect()
        except (ConnectionCut, NotReachable):
            return

    def _unknown(self, away: bool) -> OutcomeUnknown:
        why = "the database is away" if away else "the server is still at work on it"
        return OutcomeUnknown(
            f"whether the last batch was recorded is not known: {why}",
            state="It is in the replay's ledger, and nothing of it will be sent blindly",
            next="run the same command again: it asks first",
        )

    def _run(self, name: str, *args: object) -> int:
        return self._db.session.execute(name, args, tokens=self._table)

    def drop(self) -> None:
        """Takes the token away: it is not needed any more."""
        if self.id:
            self._run("token_drop", self.id)
            self.secret, self.id = "", 0

    def close(self) -> None:
        """Closes the connection."""
        self._db.session.close()


def ours(database: Database) -> None:
    """This connection is no request of the tracker: it is not waited for."""
    _OURS.add(database.session)


def in_force(database: Database, tokens: Mapping[str, str]) -> frozenset[str]:
    """The names (keys) of those tokens (values) that Matomo knows and that have not expired."""
    salt = ini.text_of(database.config, "General", "salt")
    table = database.table("user_token_auth")
    return frozenset(
        name
        for name, secret in tokens.items()
        if database.session.value("token_valid", (hash_of(secret, salt),), tokens=table)
    )


def hash_of(secret: str, salt: str) -> str:
    return hashlib.sha512((secret + salt).encode()).hexdigest()


def left(docroot: str, replay: str = "") -> list[int]:
    """Numbers of the tokens that were left behind by (this) replay."""
    with Database(docroot) as database:
        tokens = database.table("user_token_auth")
        pattern = f"{NAME} {replay}%" if replay else f"{NAME}%"
        rows = database.session.rows("token_ours", (pattern,), tokens=tokens)
        return [int(row["id"]) for row in rows]


def clean(docroot: str, replay: str) -> int:
    """Takes away what a killed run of this replay left; how many."""
    with Database(docroot) as database:
        tokens = database.table("user_token_auth")
        gone = left(docroot, replay)
        for token in gone:
            database.session.execute("token_drop", (token,), tokens=tokens)
        return len(gone)


class Given:
    """A token that was given: it is not ours to change, so it tells nothing of a batch. After an
    unclear outcome the server is given ``patience`` seconds to end; then hits are looked for."""

    id = 0

    def __init__(self, secret: str, patience: float) -> None:
        self.secret, self._patience = secret, patience

    def arm(self, batch: int) -> int:
        """Nothing to do."""
        return 0

    def used(self) -> Optional[bool]:
        """Cannot tell."""
        return None

    def revoke(self, token: int) -> None:
        """It is not ours."""

    def settle(self, token: int, batch: int, wait: bool = True) -> Optional[bool]:
        """Waits; cannot tell."""
        time.sleep(self._patience if wait else 0)
        return None

    def drop(self) -> None:
        """It is not ours."""

    def close(self) -> None:
        """Nothing is open."""
