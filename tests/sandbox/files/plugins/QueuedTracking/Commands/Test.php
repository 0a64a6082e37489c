<?php

namespace Piwik\Plugins\QueuedTracking\Commands;

use Piwik\Plugin\ConsoleCommand;
use Piwik\Plugins\QueuedTracking\Queues;

class Test extends ConsoleCommand
{
    protected function configure()
    {
        $this->setName('queuedtracking:test');
        $this->setDescription('Shows the settings, and writes into the backend.');
    }

    protected function doExecute(): int
    {
        foreach (Queues::settings()->getSettingsWritableByCurrentUser() as $setting) {
            if ($setting->getName() !== 'redisPassword') {
                $this->getOutput()->writeln($setting->getName() . ': ' . var_export($setting->getValue(), true));
            }
        }
        (new Queues())->store->append('fooList', 'value'); // left behind, as by the real one
        $this->getOutput()->writeln('Connection works');

        return self::SUCCESS;
    }
}
