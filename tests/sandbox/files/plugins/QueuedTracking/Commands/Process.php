<?php

namespace Piwik\Plugins\QueuedTracking\Commands;

use Piwik\Application\Environment;
use Piwik\Plugin\ConsoleCommand;
use Piwik\Plugins\QueuedTracking\Queues;
use Piwik\Plugins\QueuedTracking\Worker;
use Piwik\Tracker;

class Process extends ConsoleCommand
{
    protected function configure()
    {
        $this->setName('queuedtracking:process');
        $this->setDescription('Processes the queue in whole batches.');
        $this->addRequiredValueOption('queue-id', null, 'Only this list');
        $this->addRequiredValueOption('force-num-requests-process-at-once', null, 'Size of a batch');
        $this->addRequiredValueOption('cycle', 'c', 'How many passes; 0 = for ever', 1);
        $this->addRequiredValueOption('sleep', 's', 'Seconds between passes', 1);
    }

    protected function doExecute(): int
    {
        $environment = new Environment('tracker');
        $environment->init();
        $environment->getContainer()->get('Piwik\Access')->setSuperUserAccess(false);
        Tracker::loadTrackerEnvironment();

        $input = $this->getInput();
        $queues = new Queues();
        $batch = $input->getOption('force-num-requests-process-at-once');
        if ($batch !== null) {
            if (!is_numeric($batch) || $batch < 1) {
                throw new \Exception('Number of requests to process must be a number and at least 1');
            }
            $queues->batch = (int) $batch;
        }
        $only = $input->getOption('queue-id');
        $worker = new Worker($queues, 500, $only === null ? null : (int) $only);
        register_shutdown_function([$worker, 'unlock']);
        $left = (int) $input->getOption('cycle') ?: PHP_INT_MAX;
        while ($left-- > 0) {
            $began = microtime(true);
            $tracker = $worker->run(new Tracker());
            $count = $tracker->getCountOfLoggedRequests();
            $seconds = microtime(true) - $began;
            $this->writeSuccessMessage(sprintf(
                'This worker finished queue processing with %sreq/s (%s requests in %02.2f seconds)',
                round($count / max($seconds, 0.001), 2),
                $count,
                $seconds
            ));
            if ($left > 0) {
                sleep(max(1, (int) $input->getOption('sleep')));
            }
        }

        return self::SUCCESS;
    }
}
