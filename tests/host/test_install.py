"""release.install and release.back on the real host, with a small Matomo of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from matops.errors import Refused, UsageError
from tests.conftest import HostFactory
from tests.host import install_kit as kit
from tests.host.install_kit import NEW, OLD, ROOT, Small
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def built(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    kit.build(sandbox)
    yield [tmp_path_factory.mktemp("release")]
    kit.remove(sandbox)


@pytest.fixture
def small(sandbox: Sandbox, host_factory: HostFactory, built: list[Path]) -> Iterator[Small]:
    """A small Matomo 5.3.1 with 5.9.0 staged; one connection for all its steps."""
    found = Small(sandbox, host_factory())
    while built:
        kit.stage(found.site(), built.pop())
    yield found
    kit.renew(sandbox)


def test_all_that_is_not_the_releases_comes_along_and_goes_back(small: Small) -> None:
    small.sh(
        """
        mkdir -p .well-known plugins/Own/deep empty misc/user; chmod 2770 empty
        echo a > .well-known/a; echo '# mine' > .htaccess; ln -s /etc/hostname link
        echo '{"name": "Own", "require": {"matomo": ">=5.0.0,<6.0.0"}}' > plugins/Own/plugin.json
        echo geo > misc/GeoLite.mmdb; chmod 600 misc/GeoLite.mmdb; truncate -s 20M misc/user/holes
        echo c > js/container_x.js; echo own >> robots.txt; echo changed >> core/Both.php
        echo strange > core/strange.txt; mkfifo misc/pipe; echo s > tmp/sessions/sess_1
        echo extra > plugins/Retired/extra.txt
        printf 'own()' > plugins/Own/tracker.min.js; chown -R www-data:www-data .
        chgrp adm core/Both.php; chmod 2770 empty; chmod 604 index.php
        python3 - <<P
import os
base = open("js/piwik.min.js").read()
block = "\\n\\n/* GENERATED: tracker.min.js */\\nown()\\n/* END GENERATED: tracker.min.js */\\n"
for name in ("matomo.js", "piwik.js"):
    open(name, "w").write(base.replace("Hook */", "Hook */" + block))
os.setxattr("misc/GeoLite.mmdb", "user.note", b"mine")
os.setxattr("misc/GeoLite.mmdb", "security.selinux", b"system_u:object_r:var_t:s0\\0")
os.setxattr("core/Both.php", "security.selinux", b"system_u:object_r:httpd_sys_content_t:s0\\0")
os.setxattr("core/Version.php", "security.selinux", b"system_u:object_r:model_t:s0\\0")
P"""
    )
    before = small.listing("tmp/cache")
    look = small.look()
    notes = "\n".join(look.notes)
    assert "1 changed by hand" in notes and "core/Both.php" in notes
    assert "core/strange.txt" in notes and "misc/pipe" in notes and "Retired/extra.txt" in notes
    inode = small.sh("stat -c %i .")

    evidence = small.install()
    assert f"the way back is {ROOT}/install-{NEW}" in evidence.line
    assert "(apache2handler)" in evidence.line and "not served" in evidence.line
    assert "made anew with plugins/Own/tracker.min.js" in "\n".join(small.said)
    now = small.sh("find . -not -type d | sort").split()
    wanted = """./.well-known/a ./.htaccess ./link ./core/strange.txt ./js/container_x.js
        ./plugins/Own/plugin.json ./misc/user/holes ./tmp/sessions/sess_1"""
    assert not set(wanted.split()) - set(now)
    gone = ("./core/Only5.3.php", "./plugins/Retired/plugin.json", "./plugins/Retired/extra.txt")
    assert not set(gone) & set(now)
    assert "own" in small.sh("cat robots.txt")
    assert small.sh("cat matomo.js").startswith(f"/*{NEW}*/") and "own()" in small.sh(
        "cat matomo.js"
    )
    assert small.sh("cat vendor/autoload.php") == "<?php // new"
    stat = "stat -c '%U %G %a' core/Both.php misc/GeoLite.mmdb empty index.php console"
    assert small.sh(stat).splitlines() == [
        "www-data adm 644", "www-data www-data 600", "www-data www-data 2770",
        "www-data www-data 604", "www-data www-data 755",
    ]  # fmt: skip
    names = f"misc/GeoLite.mmdb core/Both.php core/Only{NEW[:3]}.php"
    contexts = small.sh(f"""python3 -c "
import os
for name in '{names}'.split():
    print(os.getxattr(name, 'security.selinux').decode().split(':')[2])" """)
    assert contexts.split() == ["var_t", "httpd_sys_content_t", "model_t"]
    assert int(small.sh("stat -c %b misc/user/holes")) < 100
    assert small.sh("stat -c %i .") != inode
    assert (
        small.sh(f"stat -c '%i %a' {ROOT}/install-*/matomo/. {ROOT}/install-*").split()[0]
        == inode.strip()
    )

    assert small.settle(dry=True) == f"no way back from {NEW} to {OLD} from now on"
    again = small.look()
    assert not again.actions and "is installed; the way back is" in again.because
    small.sh("echo 'written later' >> config/config.ini.php; echo logo > misc/user/logo.png")
    back = small.back()
    assert small.version() == OLD and small.sh("stat -c %i .") == inode
    assert "brought back along" in "\n".join(small.said)
    kept = back.facts["config"]
    assert small.sh(f"stat -c '%U %a' {kept}; tail -1 {kept}").split() == [
        "www-data",
        "600",
        "written",
        "later",
    ]
    small.sh("rm misc/user/logo.png")
    assert small.listing("tmp/cache") == before
    assert "no release was installed" in small.back().line


def test_what_is_written_while_it_is_built_comes_along(small: Small) -> None:
    step = small.step()
    look = step.look()
    step.act(look.actions[0])
    small.sh("echo up > misc/user/up.png; echo '; new' >> config/config.ini.php; mkdir late; "
             "echo x > late/x; echo c > tmp/cache/c; rm -rf tmp/sessions")  # fmt: skip
    built_again = small.build()
    assert "it is built" in built_again.because
    for action in look.actions[1:]:
        step.act(action)
    step.verify()
    assert "were written meanwhile" in "\n".join(small.said)
    assert small.sh("cat misc/user/up.png late/x; tail -1 config/config.ini.php; ls tmp") == (
        "up\nx\n; new\n"
    )


def test_a_docroot_that_is_a_link_is_switched(small: Small) -> None:
    target = "releases/matomo-5.3.1"
    small.sh(
        f"cd /srv/small; mkdir releases; mv matomo releases/matomo-5.3.1; ln -s {target} matomo"
    )
    small.sh(f"cp -a {ROOT} /srv/small/releases/")
    before = small.listing("tmp")
    evidence = small.install()
    link = small.sh("readlink /srv/small/matomo").strip()
    assert link == target.replace(OLD, NEW) and small.version() == NEW
    assert "was reloaded" in evidence.line
    assert small.sh("cd /srv/small/releases; ls").split() == ["matomo-5.9.0"]
    small.back()
    assert small.sh("readlink /srv/small/matomo").strip() == target
    assert small.listing("tmp") == before
    # A link inside that names the folder itself would go on with the old tree.
    small.sh("ln -s $(realpath .)/misc mine")
    assert not any("the docroot is a link" in note for note in small.look().notes)
    small.install()
    assert small.version() == NEW and small.sh("readlink /srv/small/matomo").strip() == target
    small.back()
    assert small.version() == OLD


def test_where_no_exchange_is_possible_the_files_are_copied(small: Small) -> None:
    small.sh("echo own > own.txt; echo changed >> core/Both.php; mount --bind . .")
    before = small.listing()
    with pytest.raises(Refused, match=r"is a mount point \(ext4|xfs|overlay\).*--how copy"):
        small.look(how="exchange")
    # A mount point has another filesystem above it: the stage must lie inside. A bind has not.
    small.fix("core/Both.php", True)
    try:
        with pytest.raises(Refused, match=r"immutable, first .*core/Both.php.*chattr -i"):
            small.look()
    finally:
        small.fix("core/Both.php", False)
    small.sh("sleep 60 >/dev/null 2>&1 & echo $! > ../pid")
    look = small.look()
    assert any("an exchange is not possible" in note for note in look.notes)
    assert any("at work in the docroot" in note and "sleep (pid" in note for note in look.notes)
    small.sh("kill $(cat ../pid)")
    small.install()
    assert small.version() == NEW and small.sh("cat core/Both.php") == f"<?php // {NEW}"
    assert small.sh("ls core plugins").split() == [
        "core:", "Both.php", "Only5.9.php", "Same.php", "Version.php", "testMinimumPhpVersion.php",
        "plugins:", "CoreHome",
    ]  # fmt: skip
    assert not small.look().actions
    small.back()
    assert small.listing() == before
    small.install()
    assert small.settle() == "the new release stays"
    assert "no release was installed" in small.back().line and small.version() == NEW
    assert f"Matomo {NEW} is installed, and none newer is staged" in small.look().because


def test_obstacles_have_one_line_each(small: Small) -> None:
    small.sh("mount -t tmpfs none tmp")
    with pytest.raises(Refused, match=r"tmp is a mount point \(tmpfs\) inside the docroot"):
        small.look(how="exchange")
    small.sh("umount tmp; mkdir tmp/sessions -p; mv config config2; ln -s config2 config")
    with pytest.raises(Refused, match=r"config is a symbolic link to config2.*--how copy"):
        small.look(how="exchange")
    small.sh("rm config; mv config2 config; unshare -m sh -c "
             "'mkdir -p /mnt/in; mount --bind . /mnt/in; touch /tmp/ready; sleep 20' "
             ">/dev/null 2>&1 & until [ -e /tmp/ready ]; do sleep 0.05; done; "
             "rm /tmp/ready")  # fmt: skip
    with pytest.raises(
        Refused, match=r"is mounted by itself for (sleep|sh) \(pid \d+\) at /mnt/in"
    ):
        small.look(how="exchange")
    small.sh("pkill -x -f 'sleep 20'; rmdir /mnt/in 2>/dev/null || true")
    small.sh("rm config/manifest.inc.php")
    with pytest.raises(Refused, match=r"is not known: .*--accept-unlisted"):
        small.look()
    assert small.look(accept_unlisted=True).actions
    with pytest.raises(UsageError, match="is not staged"):
        small.look(release="5.4.0", accept_unlisted=True)


def test_a_plugin_that_does_not_fit_is_named_before(small: Small) -> None:
    small.sh("""mkdir plugins/Odd; echo '{"name": "Odd", "version": "1", "require":
        {"matomo": "<5.5.0"}}' > plugins/Odd/plugin.json
        printf '[Plugins]\\nPlugins[] = "Odd"\\n' >> config/config.ini.php""")
    with pytest.raises(Refused, match=r"plugin Odd 1, active.*--accept-plugins Odd"):
        small.look()
    assert (
        "plugin Odd does not fit 5.9.0 and is accepted" in small.look(accept_plugins=["Odd"]).notes
    )
    with pytest.raises(UsageError, match="Other needs no accepting"):
        small.look(accept_plugins=["Other"])


def test_no_room_and_a_read_only_filesystem(small: Small) -> None:
    small.sh(
        "cd ..; mkdir full; mount -t tmpfs -o size=40M none full; cp -a matomo .matops-stage full/"
    )
    there = Small(small.sandbox, small.host, f"{kit.TOP}/full/matomo")
    with pytest.raises(Refused, match=r"not enough room at .*free"):
        there.install()
    assert there.version() == OLD
    small.sh("mount -o remount,size=300M,ro ../full")
    with pytest.raises(Exception, match=r"read-only|not writable"):
        there.install()
    small.sh("umount ../full; rmdir ../full")


@pytest.mark.parametrize("how", ["exchange", "link", "copy"])
def test_killed_before_each_change_it_ends_well(small: Small, how: str) -> None:
    script = Path(__file__).with_name("install_killed.py")
    target = small.sandbox.root / f"{kit.TOP[1:]}/killed.py"
    target.write_bytes(script.read_bytes())
    agent = small.site().agent.ensure()
    stage = small.sh(f"ls -d {ROOT}/5.9.0-*").strip()
    words = f"python3 {kit.TOP}/killed.py {agent} {kit.TOP}/template {stage} {how}"
    done = small.sandbox.exec("sh", "-c", f"cd /; {words}", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 10
