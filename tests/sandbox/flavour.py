"""What kinds of host there are, as data. A new kind is a new `Flavour`, not new code."""

from dataclasses import dataclass

PHP = ("php-cli", "php-mysql", "php-mbstring", "php-xml", "php-curl", "php-gd", "php-redis")
PHP_MORE = ("php-intl", "php-zip", "php-bcmath")
# What an operator expects on any server: minbase has none of it.
ADMIN = (
    "ca-certificates",
    "cron",
    "curl",
    "gpgv",
    "iproute2",
    "less",
    "logrotate",
    "openssh-server",
    "procps",
    "python3",
    "rsync",
    "sudo",
    "tzdata",
    "unzip",
)


@dataclass(frozen=True)
class Service:
    """A daemon: its Debian init script, its process name, and how it says that it is ready."""

    name: str
    init: str
    process: str
    ready: tuple[str, ...] = ("true",)


def _listens(port: int) -> tuple[str, ...]:
    # A real request would leave its trace in the very logs that tests look at.
    return ("sh", "-c", f"ss -Hlnt 'sport = :{port}' | grep -q .")


SERVICES = {
    service.name: service
    for service in (
        Service("sshd", "ssh", "sshd", _listens(22)),
        Service("mariadb", "mariadb", "mariadbd", ("mariadb-admin", "--silent", "ping")),
        Service("redis", "redis-server", "redis-server", ("redis-cli", "ping")),
        Service("apache2", "apache2", "apache2", _listens(80)),
        Service("cron", "cron", "cron"),
    )
}


@dataclass(frozen=True)
class Flavour:
    """One kind of host. `files` names the folder below files/ copied over its root."""

    name: str
    suite: str = "trixie"
    packages: tuple[str, ...] = ()
    services: tuple[str, ...] = ("sshd",)
    files: str = "web"
    apache_modules: tuple[str, ...] = ()
    with_matomo: bool = False

    @property
    def daemons(self) -> tuple[Service, ...]:
        """The services, in the order in which they are listed."""
        return tuple(SERVICES[name] for name in self.services)


ALL_IN_ONE = Flavour(
    name="all-in-one",
    packages=(
        *ADMIN,
        *PHP,
        *PHP_MORE,
        "apache2",
        "libapache2-mod-php",
        "mariadb-server",
        "redis-server",
    ),
    services=("sshd", "mariadb", "redis", "apache2", "cron"),
    apache_modules=("rewrite", "headers", "expires"),
    with_matomo=True,
)

FLAVOURS = {flavour.name: flavour for flavour in (ALL_IN_ONE,)}
