<?php

namespace Piwik\Plugins\QueuedTracking\Commands;

use Piwik\Plugin\ConsoleCommand;
use Piwik\Plugins\QueuedTracking\Queues;

class LockStatus extends ConsoleCommand
{
    protected function configure()
    {
        $this->setName('queuedtracking:lock-status');
        $this->setDescription('Shows which lists are being worked on.');
        $this->addRequiredValueOption('unlock', null, 'Take this lock away');
    }

    protected function doExecute(): int
    {
        $store = (new Queues())->store;
        $unlock = $this->getInput()->getOption('unlock');
        foreach ($store->locks(Queues::LOCK) as $name => $left) {
            if ($name === $unlock) {
                $store->forceUnlock($name);
            } else {
                $this->getOutput()->writeln(sprintf('"%s" is locked for %d ms', $name, $left));
            }
        }

        return self::SUCCESS;
    }
}
