"""The accounts that every feature is tested with."""

from __future__ import annotations

PASSWORD = "made-for-tests"

# https://matomo.org/faq/how-to-install/faq_23484/ and its upgrade and archiving notes.
MATOMO = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX, DROP, ALTER, CREATE TEMPORARY TABLES, "
    "LOCK TABLES"
)
# What a managed server's "master" account has left: no SUPER, no FILE, nothing dynamic.
MANAGED = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, "
    "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, "
    "ALTER ROUTINE, EVENT, TRIGGER"
)
GRANTS = {
    "matomo": ["GRANT {matomo} ON `{schema}`.* TO '{user}'@'%'"],
    "managed": [
        "GRANT PROCESS, SHOW DATABASES ON *.* TO '{user}'@'%'",
        "GRANT {managed} ON `{schema}`.* TO '{user}'@'%'",
    ],
    "reader": ["GRANT SELECT ON `{schema}`.* TO '{user}'@'%'"],
}


def statements(kind: str, flavour: str, schema: str) -> str:
    """The statements that make the account; safe to run twice."""
    del flavour  # the same on both so far
    lines = [f"CREATE USER IF NOT EXISTS '{kind}'@'%' IDENTIFIED BY '{PASSWORD}'"]
    lines += [
        g.format(user=kind, schema=schema, matomo=MATOMO, managed=MANAGED) for g in GRANTS[kind]
    ]
    return ";\n".join(lines)
