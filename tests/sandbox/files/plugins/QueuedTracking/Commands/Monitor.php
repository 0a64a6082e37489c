<?php

namespace Piwik\Plugins\QueuedTracking\Commands;

use Piwik\Plugin\ConsoleCommand;
use Piwik\Plugins\QueuedTracking\Queues;

class Monitor extends ConsoleCommand
{
    protected function configure()
    {
        $this->setName('queuedtracking:monitor');
        $this->setDescription('Shows the queue every two seconds.');
        $this->addRequiredValueOption('iterations', null, 'How often; for ever by default');
    }

    protected function doExecute(): int
    {
        $output = $this->getOutput();
        $queues = new Queues();
        $left = (int) $this->getInput()->getOption('iterations') ?: PHP_INT_MAX;
        while (true) {
            $total = 0;
            for ($number = 0; $number < $queues->number; $number++) {
                $total += $length = $queues->length($number);
                $output->writeln(sprintf("%10d | %16s", $number, number_format($length)));
            }
            $output->writeln(sprintf(' %d Q      | %s R', $queues->number, number_format($total)));
            $output->writeln(count($queues->store->locks(Queues::LOCK)) . ' workers active.');
            if (--$left <= 0) {
                return self::SUCCESS;
            }
            sleep(2);
        }
    }
}
