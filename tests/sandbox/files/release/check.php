<?php
// Is this tree a Matomo that this PHP can run? Every file must parse, and the classes that
// come from other packages must load. Prints the version.
error_reporting(E_ALL & ~E_DEPRECATED);
$root = $argv[1];
chdir($root);
require_once $root . '/vendor_config.php';
define('PIWIK_ENABLE_DISPATCH', false);
require_once $root . '/core/bootstrap.php';

$bad = [];
foreach (['core', 'plugins', 'libs', 'config', 'vendor'] as $part) {
    $tree = new RecursiveDirectoryIterator("$root/$part", FilesystemIterator::SKIP_DOTS);
    foreach (new RecursiveIteratorIterator($tree) as $file) {
        if ($file->getExtension() === 'php') {
            try {
                token_get_all(file_get_contents($file->getPathname()), TOKEN_PARSE);
            } catch (ParseError $e) {
                $bad[] = $file->getPathname() . ': ' . $e->getMessage();
            }
        }
    }
}
$classes = [
    'Piwik\Version', 'Piwik\Updater', 'Piwik\Tracker\Visit', 'Piwik\CronArchive',
    'DI\ContainerBuilder', 'Monolog\Logger', 'Symfony\Component\Console\Application',
    'Symfony\Component\EventDispatcher\EventDispatcher', 'Twig\Environment', 'Less_Parser',
    'DeviceDetector\DeviceDetector', 'Matomo\Cache\Eager', 'Matomo\Decompress\Tar',
    'Matomo\Ini\IniReader', 'Matomo\Network\IP', 'PHPMailer\PHPMailer\PHPMailer', 'TCPDF',
    'Spyc', 'Composer\CaBundle\CaBundle', 'Composer\Semver\Semver', 'JShrink\Minifier',
];
foreach ($classes as $class) {
    if (!class_exists($class)) {
        $bad[] = "class $class cannot be loaded";
    }
}
foreach (array_slice($bad, 0, 5) as $line) {
    echo "Error: $line\n";
}
echo Piwik\Version::VERSION, "\n";
exit($bad ? 1 : 0);
