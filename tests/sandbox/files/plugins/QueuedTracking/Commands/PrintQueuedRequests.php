<?php

namespace Piwik\Plugins\QueuedTracking\Commands;

use Piwik\Plugin\ConsoleCommand;
use Piwik\Plugins\QueuedTracking\Queues;

class PrintQueuedRequests extends ConsoleCommand
{
    protected function configure()
    {
        $this->setName('queuedtracking:print-queued-requests');
        $this->setDescription('Prints the next batch of each list.');
        $this->addRequiredValueOption('queue-id', null, 'Only this list');
    }

    protected function doExecute(): int
    {
        $queues = new Queues();
        $only = $this->getInput()->getOption('queue-id');
        for ($number = 0; $number < $queues->number; $number++) {
            if ($only === null || (int) $only === $number) {
                $this->getOutput()->writeln("Showing requests of queue $number.");
                $this->getOutput()->writeln(var_export($queues->first($number), true));
            }
        }

        return self::SUCCESS;
    }
}
