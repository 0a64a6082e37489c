"""The pieces of PHP that go into the private copy of a staged tree. Nothing live gets them.

``PREPEND`` runs before everything else in every PHP process of the copy, in the place of what the
machine's own ``auto_prepend_file`` names: it pins Matomo's paths to the copy. (Tried: a prepended
file that defines PIWIK_USER_PATH leads even a harmless console command to the live database, and
that command installs the new release's plugins there.) ``CHECK`` says whether it is in force,
before any of Matomo's code runs. ``GUARD`` is that copy's ``config/config.php``, which Matomo
reads into every process of it: no connection is opened to another database than the scratch one
(the process ends first), no mail goes out, no HTTP request is sent. ``COMMANDS`` are console
commands of the copy: where it is connected to, and which migrations there are, each asked of
Matomo's own code.
"""

from __future__ import annotations

PLUGIN = "MatopsRehearsal"
"""A folder in the copy's plugins/; not activated, only its commands are loaded."""

OPTION = "matops.sentinel"
"""The option that the staged console must read back."""

MARK = "MATOPS-ANSWER "
"""Before the one line of base64 that is an answer."""

GUARDED = 86
"""Exit code of a PHP process that was about to open another database."""

INI = 'auto_prepend_file = "@FOLDER@/prepend.php"\nauto_append_file =\n'
"""Read by every PHP process of the copy, as the last of its ini files (PHP_INI_SCAN_DIR)."""

PREPEND = r"""<?php
// Written by matops for one rehearsal; this folder is removed after it.
define('MATOPS_REHEARSAL', __DIR__);
foreach (array('PIWIK_DOCUMENT_ROOT', 'PIWIK_USER_PATH', 'PIWIK_INCLUDE_PATH') as $matopsName) {
    if (!defined($matopsName)) {
        define($matopsName, __DIR__ . '/matomo');
    }
    if (constant($matopsName) !== __DIR__ . '/matomo') {
        fwrite(STDERR, "\nMATOPS-GUARD: $matopsName was set to another folder\n");
        exit(@CODE@);
    }
}
unset($matopsName, $_SERVER['HTTP_HOST'], $_SERVER['SERVER_NAME'],
    $GLOBALS['CONFIG_INI_PATH_RESOLVER'], $GLOBALS['MATOMO_MODIFY_CONFIG_SETTINGS'],
    $GLOBALS['ENABLE_CONFIG_PHP_CACHE'], $GLOBALS['MATOMO_PLUGIN_DIRS']);
""".replace("@CODE@", str(GUARDED))

CHECK = r"""<?php
echo "@MARK@" . base64_encode(json_encode(array(
    'pinned' => defined('MATOPS_REHEARSAL') ? MATOPS_REHEARSAL : '',
    'user' => defined('PIWIK_USER_PATH') ? PIWIK_USER_PATH : '',
    'others' => array_values(array_diff(get_included_files(),
        array(__FILE__, __DIR__ . '/prepend.php')))))) . "\n";
""".replace("@MARK@", MARK)

# PHP-DI takes a bare closure for a factory: hence value(). ``after``: behind every plugin that
# changes the connection's settings (EnvironmentVariables and the like).
GUARD = r"""<?php
// Written by matops for one rehearsal; this folder is removed after it.
$matops = json_decode(file_get_contents(__DIR__ . '/matops.json'), true);
$value = method_exists('\Piwik\DI', 'value') ? '\Piwik\DI::value' : '\DI\value';
$add = method_exists('\Piwik\DI', 'add') ? '\Piwik\DI::add' : '\DI\add';
$only = function (&$database) use ($matops) {
    foreach ($matops['expected'] as $key => $wanted) {
        $found = isset($database[$key]) ? (string) $database[$key] : '';
        if ($found !== $wanted) {
            fwrite(STDERR, "\nMATOPS-GUARD: a connection with another $key was to be opened\n");
            exit(@CODE@);
        }
    }
};
$quiet = function (&$send) {
    $send = false;
};
$alone = function ($url, $params, &$response, &$status, &$headers) use ($matops) {
    file_put_contents($matops['blocked'], parse_url($url, PHP_URL_HOST) . "\n", FILE_APPEND);
    $response = '';
    $status = 503;
    $headers = array();
};
$last = function ($callback) use ($value) {
    return call_user_func($value, array('function' => $callback, 'after' => true));
};
return array(
    'observers.global' => call_user_func($add, array(
        array('Db.getDatabaseConfig', $last($only)),
        array('Tracker.getDatabaseConfig', $last($only)),
        array('Mail.shouldSend', $last($quiet)),
        array('Http.sendHttpRequest', $last($alone)),
    )),
);
""".replace("@CODE@", str(GUARDED))

_COMMAND = r"""<?php
namespace Piwik\Plugins\@PLUGIN@\Commands;

class @CLASS@ extends \Piwik\Plugin\ConsoleCommand
{
    protected function configure()
    {
        $this->setName('@NAME@');
        $this->setDescription('Asked by matops; writes nothing.');
    }

    protected function doExecute(): int
    {
        $loose = JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE;
        $answer = json_encode($this->answer(), $loose);
        $this->getOutput()->writeln("\n@MARK@" . base64_encode($answer));
        return 0;
    }
@BODY@
}
"""

_WHERE = r"""
    private function answer()
    {
        $config = \Piwik\Config::getInstance();
        $table = \Piwik\Common::prefixTable('option');
        $found = \Piwik\Db::fetchRow('SELECT DATABASE() AS dbname, CURRENT_USER() AS account, '
            . '@@hostname AS hostname, @@port AS port');
        $found['sentinel'] = (string) \Piwik\Db::fetchOne(
            "SELECT option_value FROM `$table` WHERE option_name = ?", array('@OPTION@'));
        \Piwik\Option::clearCachedOption('@OPTION@');
        $found['option'] = (string) \Piwik\Option::get('@OPTION@');
        $found['prefix'] = (string) $config->database['tables_prefix'];
        $reader = $config->database_reader;
        $found['reader'] = is_array($reader) && !empty($reader['host']) ? 'set' : '';
        $paths = array('document_root' => PIWIK_DOCUMENT_ROOT, 'include' => PIWIK_INCLUDE_PATH,
            'user' => PIWIK_USER_PATH, 'local' => $config->getLocalPath(),
            'global' => $config->getGlobalPath(),
            'tmp' => \Piwik\Container\StaticContainer::get('path.tmp'),
            'assets' => \Piwik\Container\StaticContainer::get('path.tmp') . '/assets');
        if (is_file($config->getCommonPath())) {
            $paths['common'] = $config->getCommonPath();
        }
        $found['paths'] = $paths;
        $found['cache'] = get_class(
            \Piwik\Container\StaticContainer::get('Matomo\Cache\Backend'));
        $found['mail'] = empty($config->General['emails_enabled']) ? '' : 'on';
        $found['version'] = \Piwik\Version::VERSION;
        $found['guard'] = (bool) array_filter(
            \Piwik\Container\StaticContainer::get('observers.global'),
            function ($each) { return is_array($each) && $each[0] === 'Db.getDatabaseConfig'; });
        return $found;
    }
"""

# As core/Updater.php's getSqlQueriesToExecute, but keeping whose each migration is.
_LIST = r"""
    private function answer()
    {
        $updater = new \Piwik\Updater();
        $found = array();
        $seen = array();
        $components = $updater->getComponentUpdates();
        foreach ($components ?: array() as $component => $files) {
            foreach ($files as $file => $version) {
                require_once $file;
                $class = $updater->getUpdateClassName($component, $version);
                if (in_array($class, $seen) || !class_exists($class, false)) {
                    continue;
                }
                $seen[] = $class;
                foreach ($this->migrations($updater, $class) as $index => $each) {
                    $found[] = $this->described($component, $version, $index, $each);
                }
            }
        }
        return array('migrations' => $found, 'components' => array_keys($components ?: array()));
    }

    private function migrations($updater, $class)
    {
        return \Piwik\Access::doAsSuperUser(function () use ($updater, $class) {
            $update = \Piwik\Container\StaticContainer::getContainer()->make($class);
            return $update->getMigrations($updater) ?: array();
        });
    }

    private function described($component, $version, $index, $each)
    {
        if (!is_object($each)) {
            return array('component' => $component, 'file' => $version, 'kind' => 'sql',
                'statement' => (string) $index, 'ignores' => array_map('intval', (array) $each));
        }
        $sql = $each instanceof \Piwik\Updater\Migration\Db;
        $asks = method_exists($each, 'getErrorCodesToIgnore');
        $codes = array_filter($asks ? (array) $each->getErrorCodesToIgnore() : array());
        $text = $each->__toString();
        $kind = $sql ? 'sql' : (strpos($text, './console ') === 0 ? 'console' : 'other');
        return array('component' => $component, 'file' => $version, 'kind' => $kind,
            'statement' => $text, 'ignores' => array_values(array_map('intval', $codes)));
    }
"""


def _command(name: str, body: str) -> str:
    text = _COMMAND.replace("@BODY@", body).replace("@NAME@", f"matops:{name}")
    marks = {"PLUGIN": PLUGIN, "CLASS": name.capitalize(), "MARK": MARK, "OPTION": OPTION}
    for mark, value in marks.items():
        text = text.replace(f"@{mark}@", value)
    return text


COMMANDS = {"Where.php": _command("where", _WHERE), "Migrations.php": _command("migrations", _LIST)}
"""File in ``plugins/<PLUGIN>/Commands`` => its text; the commands are ``matops:where`` and
``matops:migrations``."""
