"""Matomo's console with one setting of its database session changed: for ``queue.drain``.

MariaDB 11.6.2 and later abort a transaction that meets another writer's row (error 1020,
``innodb_snapshot_isolation = ON``). QueuedTracking takes up again what a deadlock or a lock wait
ended, 1213 and 1205, but not 1020: it drops that request set for good (5.1.1, Processor/
Handler.php, ``onException``; measured: 3 of 1,400 hits while a drain ran beside direct tracking).
The setting is a session's own and needs no privilege; off, the server does what MySQL and older
MariaDB do. Matomo's configuration has no place for it, hence Matomo's own way to add to its
container, which its tests use since 2.15: ``Environment::setGlobalEnvironmentManipulator``.
"""

from __future__ import annotations

MARK = "matops: innodb_snapshot_isolation is OFF in this worker"
"""A line on stderr of a console in which it is in force."""

WITHOUT_SNAPSHOT_ISOLATION = r"""
$root = getcwd();
// What the console itself does first; it leaves out what is there already.
if (is_file("$root/vendor_config.php")) { require_once "$root/vendor_config.php"; }
defined('PIWIK_DOCUMENT_ROOT') || define('PIWIK_DOCUMENT_ROOT', $root);
if (is_file(PIWIK_DOCUMENT_ROOT . '/bootstrap.php')) {
    require_once PIWIK_DOCUMENT_ROOT . '/bootstrap.php';
}
defined('PIWIK_INCLUDE_PATH') || define('PIWIK_INCLUDE_PATH', PIWIK_DOCUMENT_ROOT);
require_once PIWIK_INCLUDE_PATH . '/core/bootstrap.php';
class MatopsSession implements Piwik\Application\EnvironmentManipulator
{
    public function makeGlobalSettingsProvider(
        Piwik\Application\Kernel\GlobalSettingsProvider $original
    ) {
        return $original;
    }
    public function makePluginList(
        Piwik\Application\Kernel\GlobalSettingsProvider $settings
    ) {
        return new Piwik\Application\Kernel\PluginList($settings);
    }
    public function beforeContainerCreated() {}
    public function getExtraDefinitions()
    {
        $set = function () {
            Piwik\Tracker::getDatabase()->query('SET SESSION innodb_snapshot_isolation = OFF');
            fwrite(STDERR, "@MARK@\n");
        };
        $di = class_exists('\Piwik\DI') ? '\Piwik\DI' : '\DI';
        $name = class_exists('\Piwik\DI') ? '::' : '\\';
        $observers = array(array('Console.doRun', call_user_func("$di{$name}value", $set)));
        return array(array('observers.global' => call_user_func("$di{$name}add", $observers)));
    }
    public function onEnvironmentBootstrapped() {}
    public function getExtraEnvironments() { return array(); }
}
Piwik\Application\Environment::setGlobalEnvironmentManipulator(new MatopsSession());
require "$root/console";
""".replace("@MARK@", MARK)
"""For ``php -r``, in the docroot."""
