<?php

namespace Piwik\Plugins\QueuedTracking;

use Piwik\Common;
use Piwik\Config;
use Piwik\Tracker;
use Piwik\Tracker\RequestSet;

/** One pass over the lists: whole batches, each in a transaction of its own. */
class Worker
{
    private $queues;
    private $most;
    private $only;
    private $owner;
    private $held = '';

    /** $most: batches of one pass; $only: the one list to work on, or null. */
    public function __construct(Queues $queues, int $most, ?int $only = null)
    {
        $this->queues = $queues;
        $this->most = $most;
        $this->only = $only;
        $this->owner = substr(Common::generateUniqId(), 0, 12);
    }

    public function run(Tracker $tracker): Tracker
    {
        if (!$tracker->shouldRecordStatistics()) {
            return $tracker;
        }
        $environment = new RequestSet();
        $environment->rememberEnvironment();
        $batches = 0;
        try {
            do {
                $before = $batches;
                foreach ($this->numbers() as $number) {
                    $batches += $this->work($tracker, $number, $this->most - $batches);
                }
            } while ($batches > $before && $batches < $this->most);
        } finally {
            $this->unlock();
            $environment->restoreEnvironment();
        }

        return $tracker;
    }

    public function unlock(): void
    {
        if ($this->held !== '') {
            $this->queues->store->unlock($this->held, $this->owner);
            $this->held = '';
        }
    }

    private function numbers(): array
    {
        return $this->only === null ? range(0, $this->queues->number - 1) : [$this->only];
    }

    private function work(Tracker $tracker, int $number, int $most): int
    {
        $lock = Queues::LOCK . $number;
        if ($this->queues->length($number) < $this->queues->batch || !$this->queues->store->lock($lock, $this->owner, 60)) {
            return 0;
        }
        $this->held = $lock;
        for ($done = 0; $done < min($most, 10); $done++) {
            $sets = $this->queues->first($number);
            if (count($sets) < $this->queues->batch) {
                break;
            }
            $good = $this->record($tracker, $sets);
            if (count($good) < count($sets)) {
                $this->record($tracker, $good); // what failed is dropped
            }
            $this->queues->store->dropFirst($this->queues->list($number), count($sets));
        }
        $this->unlock();

        return $done;
    }

    /** Those that could be recorded; nothing is where one of them could not. */
    private function record(Tracker $tracker, array $sets): array
    {
        $before = $tracker->getCountOfLoggedRequests();
        $db = Tracker::getDatabase();
        $transaction = $db->beginTransaction();
        $good = [];
        foreach ($sets as $set) {
            if (!$this->queues->store->extend($this->held, $this->owner, max(30, 2 * $set->getNumberOfRequests()))) {
                $db->rollBack($transaction);
                throw new \Exception('the lock of this list is not ours any more');
            }
            try {
                $this->recordSet($tracker, $set);
                $good[] = $set;
            } catch (\Exception $failed) {
                error_log('QueuedTracking: a request set is dropped: ' . $failed->getMessage());
            }
        }
        if (count($good) < count($sets)) {
            $db->rollBack($transaction);
            $tracker->setCountOfLoggedRequests($before);
        } else {
            $db->commit($transaction);
        }

        return $good;
    }

    private function recordSet(Tracker $tracker, RequestSet $set): void
    {
        $set->restoreEnvironment();
        foreach ($set->getRequests() as $request) {
            if (!empty(Config::getInstance()->QueuedTracking['poison']) && strpos((string) $request->getParam('url'), 'poison=1')) {
                posix_kill(getmypid(), 9);
            }
            try {
                $tracker->trackRequest($request);
            } catch (\Piwik\Exception\UnexpectedWebsiteFoundException $unknown) {
                Common::printDebug($unknown->getMessage());
            }
        }
    }
}
