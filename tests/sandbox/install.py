"""Matomo installed as a person would: through its web installer (the console has none)."""

from dataclasses import dataclass

from .errors import SandboxError
from .web import Browser

HOST_NAME = "analytics.example.org"
LOGIN = "admin"
SITES = ("Site One", "Site Two")


@dataclass(frozen=True)
class Passwords:
    """Made anew for each image."""

    database: str
    admin: str


def install(browser: Browser, passwords: Passwords) -> str:
    """Go through the installer's pages, add the second site; a superuser token."""
    for page, form in _pages(passwords):
        if form:
            browser.post(page, form)
        else:
            browser.get(page)
    token = _token(browser, passwords.admin)
    fields = {"siteName": SITES[1], "urls[0]": "http://shop.example.org", "timezone": "UTC"}
    browser.api("SitesManager.addSite", {"token_auth": token, **fields})
    found = browser.api("SitesManager.getAllSites", {"token_auth": token})
    if [site["name"] for site in found] != list(SITES):
        raise SandboxError(f"the web installer left other sites than planned: {found}")
    return token


def _pages(passwords: Passwords) -> list[tuple[str, dict[str, object]]]:
    database = {
        "_qf__databasesetupform": "",
        "host": "127.0.0.1",
        "username": "matomo",
        "password": passwords.database,
        "dbname": "matomo",
        "tables_prefix": "matomo_",
        "adapter": "PDO\\MYSQL",
        "schema": "Mariadb",
        "type": "InnoDB",
        "submit": "Next",
    }
    superuser = {
        "_qf__generalsetupform": "",
        "login": LOGIN,
        "password": passwords.admin,
        "password_bis": passwords.admin,
        "email": f"{LOGIN}@example.org",
        "submit": "Next",
    }
    website = {
        "_qf__websitesetupform": "",
        "siteName": SITES[0],
        "url": "http://www.example.org",
        "timezone": "UTC",
        "ecommerce": 0,
        "submit": "Next",
    }
    last = {"_qf__defaultsettingsform": "", "do_not_track": 1, "anonymise_ip": 1}
    site = "site_idSite=1&site_name=Site+One"
    steps: list[tuple[str, dict[str, object]]] = [
        ("", {}),
        ("systemCheck", {}),
        ("databaseSetup", dict(database)),
        ("tablesCreation", {}),
        ("setupSuperUser", dict(superuser)),
        ("firstWebsiteSetup", dict(website)),
        (f"trackingCode&{site}", {}),
        (f"finished&{site}", {**last, "submit": "Continue"}),
    ]
    query = "/index.php?module=Installation&action="
    return [(query + step if step else "/index.php", form) for step, form in steps]


def _token(browser: Browser, password: str) -> str:
    fields = {
        "userLogin": LOGIN,
        "passwordConfirmation": password,
        "description": "matops sandbox",
        "secureOnly": 0,
    }
    answer = browser.api("UsersManager.createAppSpecificTokenAuth", fields)
    return str(answer["value"])
