<?php

namespace Piwik\Plugins\QueuedTracking;

use Piwik\Container\StaticContainer;
use Piwik\Exception\InvalidRequestParameterException;
use Piwik\Tracker\Request;
use Piwik\Tracker\RequestSet;

/** All lists together: which visitor's requests wait in which, and what is in them. */
class Queues
{
    public const LIST = 'trackingQueueV1';
    public const LOCK = 'QueuedTrackingLock';

    public $store;
    public $number;
    public $batch;

    public function __construct()
    {
        $settings = self::settings();
        $this->store = $settings->backend->getValue() === 'mysql' ? new Store\MysqlStore() : new Store\RedisStore($settings);
        $this->number = max((int) $settings->numQueueWorkers->getValue(), 1);
        $this->batch = max((int) $settings->numRequestsToProcess->getValue(), 1);
    }

    public static function settings(): SystemSettings
    {
        return StaticContainer::get(SystemSettings::class);
    }

    public function list(int $number): string
    {
        return self::LIST . ($number ? "_$number" : '');
    }

    public function length(int $number): int
    {
        return $this->store->length($this->list($number));
    }

    /** One request set becomes one in each list that its visitors belong to. */
    public function add(RequestSet $set): void
    {
        $parts = [];
        foreach ($set->getRequests() as $request) {
            $parts[$this->numberOf($request)][] = $request;
        }
        foreach ($parts as $number => $requests) {
            $set->setRequests($requests);
            $this->store->append($this->list($number), json_encode($set->getState()));
        }
    }

    /** @return RequestSet[] */
    public function first(int $number): array
    {
        return array_map(function ($value) {
            $set = new RequestSet();
            $set->restoreState(json_decode($value, true));

            return $set;
        }, $this->store->first($this->list($number), $this->batch));
    }

    private function numberOf(Request $request): int
    {
        try {
            $id = bin2hex((string) $request->getVisitorId());
        } catch (InvalidRequestParameterException $invalid) {
            $id = '';
        }
        $id = $id !== '' ? $id : md5($request->getIpString());

        return hexdec(substr($id, 0, 3)) % $this->number;
    }
}
