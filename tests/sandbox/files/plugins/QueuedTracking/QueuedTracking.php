<?php

namespace Piwik\Plugins\QueuedTracking;

use Piwik\Common;
use Piwik\Config;
use Piwik\Plugin;

/** Puts our handler in the place of the tracker's own while the queue is on. */
class QueuedTracking extends Plugin
{
    public function registerEvents()
    {
        return [
            'Tracker.newHandler' => 'takeOver',
            'Db.getTablesInstalled' => 'nameTables',
        ];
    }

    public function isTrackerPlugin()
    {
        return true;
    }

    public function install()
    {
        Store\MysqlStore::createLocks();
        $config = Config::getInstance();
        $section = $config->QueuedTracking ?: [];
        $config->QueuedTracking = $section + ['notify_queue_threshold_single_queue' => 250000];
        $config->forceSave();
    }

    public function uninstall()
    {
        Store\MysqlStore::dropLocks();
    }

    public function nameTables(&$tables)
    {
        $tables[] = Common::prefixTable(Store\MysqlStore::LOCKS);
    }

    public function takeOver(&$handler)
    {
        $settings = Queues::settings();
        if (Common::getRequestVar('queuedtracking', 1, 'int') && $settings->queueEnabled->getValue()) {
            $handler = new Tracker\QueueingHandler((bool) $settings->processDuringTrackingRequest->getValue());
        }
    }
}
