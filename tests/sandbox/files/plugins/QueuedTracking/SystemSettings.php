<?php

namespace Piwik\Plugins\QueuedTracking;

use Piwik\Settings\FieldConfig;
use Piwik\Settings\Plugin\SystemSettings as Base;

/** Names, types and defaults of the settings. */
class SystemSettings extends Base
{
    private const KNOWN = [
        'backend' => ['redis', FieldConfig::TYPE_STRING],
        'useWhatRedisBackendType' => [1, FieldConfig::TYPE_INT],
        'sentinelMasterName' => ['mymaster', FieldConfig::TYPE_STRING],
        'redisHost' => ['127.0.0.1', FieldConfig::TYPE_STRING],
        'redisPort' => ['6379', FieldConfig::TYPE_STRING],
        'redisTimeout' => [0.0, FieldConfig::TYPE_FLOAT],
        'redisDatabase' => [0, FieldConfig::TYPE_INT],
        'redisPassword' => ['', FieldConfig::TYPE_STRING],
        'queueEnabled' => [false, FieldConfig::TYPE_BOOL],
        'numQueueWorkers' => [1, FieldConfig::TYPE_INT],
        'numRequestsToProcess' => [25, FieldConfig::TYPE_INT],
        'processDuringTrackingRequest' => [true, FieldConfig::TYPE_BOOL],
    ];

    public $backend;
    public $useWhatRedisBackendType;
    public $sentinelMasterName;
    public $redisHost;
    public $redisPort;
    public $redisTimeout;
    public $redisDatabase;
    public $redisPassword;
    public $queueEnabled;
    public $numQueueWorkers;
    public $numRequestsToProcess;
    public $processDuringTrackingRequest;

    protected function init()
    {
        foreach (self::KNOWN as $name => [$default, $type]) {
            $this->$name = $this->makeSetting($name, $default, $type, function (FieldConfig $field) use ($name) {
                $field->title = $name;
                $field->uiControl = FieldConfig::UI_CONTROL_TEXT;
            });
        }
    }
}
