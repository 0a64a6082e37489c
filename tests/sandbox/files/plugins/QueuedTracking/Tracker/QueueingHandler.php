<?php

namespace Piwik\Plugins\QueuedTracking\Tracker;

use Piwik\Common;
use Piwik\Plugins\QueuedTracking\Queues;
use Piwik\Plugins\QueuedTracking\Worker;
use Piwik\Tracker;
use Piwik\Tracker\Handler;
use Piwik\Tracker\RequestSet;

/** Queues what came in and answers at once; then, where it may, works on the queue. */
class QueueingHandler extends Handler
{
    private $works;

    public function __construct(bool $works)
    {
        parent::__construct();
        $this->works = $works;
    }

    public function process(Tracker $tracker, RequestSet $requestSet)
    {
        $count = $requestSet->getNumberOfRequests();
        $queues = new Queues();
        $queues->add($requestSet);
        $tracker->setCountOfLoggedRequests($count);
        $this->answer($tracker);
        if ($this->works) {
            set_time_limit(0);
            try {
                (new Worker($queues, 250))->run(new Tracker());
            } catch (\Exception $failed) {
                Common::printDebug($failed->getMessage());
            }
        }
    }

    public function finish(Tracker $tracker, RequestSet $requestSet)
    {
        return $this->getResponse()->getOutput();
    }

    private function answer(Tracker $tracker): void
    {
        $this->getResponse()->outputResponse($tracker);
        while (ob_get_level() > 1) {
            ob_end_flush();
        }
        Common::sendHeader('Connection: close');
        Common::sendHeader('Content-Length: ' . ob_get_length());
        ob_end_flush();
        flush();
    }
}
